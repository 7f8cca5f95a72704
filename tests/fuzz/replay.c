/*
 * replay - runs a fuzz target once over each file of the folders given, without libFuzzer.
 *
 * So the corpora are tests of every build, and a finding is debugged with any compiler.
 */
#include <dirent.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int one(const char *path)
{
	CLEANUP_FREE char *data = NULL;
	size_t len;
	int rc = file_read(path, 1 << 20, &data, &len);

	if (rc != 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(-rc));
		return 1;
	}
	LLVMFuzzerTestOneInput((const uint8_t *)data, len);
	return 0;
}

int main(int argc, char **argv)
{
	int failed = argc < 2, n = 0;

	for (int i = 1; i < argc; i++) {
		DIR *d = opendir(argv[i]);
		const struct dirent *e;

		if (!d) {
			failed |= one(argv[i]);
			n++;
			continue;
		}
		while ((e = readdir(d))) {
			CLEANUP_FREE char *path = xasprintf("%s/%s", argv[i], e->d_name);

			if (e->d_name[0] == '.')
				continue;
			failed |= one(path);
			n++;
		}
		closedir(d);
	}
	printf("%d inputs\n", n);
	return failed || n == 0;
}
