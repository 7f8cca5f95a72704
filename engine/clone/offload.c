#include "engine/clone/offload.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <unistd.h>

#include "base/base.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/reach/netlink.h"

static char *file;
static json_t *taken; /* name -> ifindex */

/* "": not known; then nothing in a file is of this boot. */
static void boot_id(char out[static 40])
{
	CLEANUP_FD int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, out, 36);

	out[n > 0 ? n : 0] = '\0';
}

static int remember(void)
{
	char boot[40];
	json_t *o;
	int rc;

	if (!file)
		return 0;
	boot_id(boot);
	o = json_pack("{s:s, s:O}", "boot", boot, "interfaces", taken);

	CLEANUP_FREE char *text = json_dumps(o, JSON_COMPACT);

	rc = file_replace(file, text, strlen(text), 0600);
	if (rc < 0)
		log_error("offload_not_remembered file=%s error=\"%s\"", file, strerror(-rc));
	json_decref(o);
	return rc;
}

static void put_back(const json_t *interfaces)
{
	const char *name;
	json_t *index;

	json_object_foreach((json_t *)interfaces, name, index) {
		/* Another one of its name is none of ours. */
		if (json_integer_value(index) != (json_int_t)if_nametoindex(name))
			continue;
		log_info("offload_restored interface=%s", name);
		netlink_tx_offload(name, true, NULL);
	}
}

void offload_begin(const char *path)
{
	json_t *old;
	char boot[40];

	free(file);
	file = xstrdup(path);
	json_decref(taken);
	taken = json_object();
	old = json_load_file(path, 0, NULL);
	boot_id(boot);
	if (*boot && strcmp(json_str(old, "boot", ""), boot) == 0)
		put_back(json_object_get(old, "interfaces"));
	json_decref(old);
	if (access(path, F_OK) == 0)
		remember();
}

int offload_take(const char *interface, bool *had)
{
	int rc;

	if (taken) {
		json_object_set_new(taken, interface, json_integer(if_nametoindex(interface)));
		remember();
	}
	rc = netlink_tx_offload(interface, false, had);
	if (taken && (rc < 0 || !*had)) {
		json_object_del(taken, interface);
		remember();
	}
	return rc;
}

int offload_give_back(const char *interface)
{
	int rc = netlink_tx_offload(interface, true, NULL);

	if (taken && (rc == 0 || rc == -ENODEV)) {
		json_object_del(taken, interface);
		remember();
	}
	return rc;
}
