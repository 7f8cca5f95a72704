#include "engine/clone/offload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "base/json.h"
#include "base/log.h"

/* ethtool's generic calls: CMD with V. */
static int ethtool(const char *name, uint32_t cmd, uint32_t *v)
{
	CLEANUP_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_value value = { .cmd = cmd, .data = *v };
	struct ifreq r = { .ifr_data = (char *)&value };

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &r))
		return -errno;
	*v = value.data;
	return 0;
}

int offload_set(const char *name, bool on, bool *was)
{
	uint32_t v = 0, wanted = on;
	int rc = was ? ethtool(name, ETHTOOL_GTXCSUM, &v) : 0;

	if (rc)
		return rc;
	if (was)
		*was = v;
	return ethtool(name, ETHTOOL_STXCSUM, &wanted);
}

bool offload_is_fixed(const char *name)
{
	uint32_t v = 0;

	/* Set to what it is: nothing changes, but the kernel says whether it could. */
	return ethtool(name, ETHTOOL_GTXCSUM, &v) || ethtool(name, ETHTOOL_STXCSUM, &v);
}

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
		offload_set(name, true, NULL);
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
	rc = offload_set(interface, false, had);
	if (taken && (rc < 0 || !*had)) {
		json_object_del(taken, interface);
		remember();
	}
	return rc;
}

int offload_give_back(const char *interface)
{
	int rc = offload_set(interface, true, NULL);

	if (taken && (rc == 0 || rc == -ENODEV)) {
		json_object_del(taken, interface);
		remember();
	}
	return rc;
}
