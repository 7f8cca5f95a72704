#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "engine/bpf/datapath.h"
#include "engine/clone/cutter.h"
#include "engine/reach/netlink.h"
#include "engine/clone/outlet.h"

/* A queue of the device that REQUEST names; its pattern becomes the name. */
static int queue_open(struct ifreq *request, int *out)
{
	CLEANUP_FD int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, TUNSETIFF, request) < 0)
		return -errno;
	*out = fd;
	fd = -1;
	return 0;
}

static void queues_close(struct outlet *t, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		close(t->queues[i]);
	free(t->queues);
	t->queues = NULL;
}

int outlet_open(struct outlet *t, struct netlink *n, struct datapath *d, struct err *e)
{
	struct ifreq request = { .ifr_name = NETLINK_OWN_PREFIX "t%d",
				 .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
	unsigned opened = 0;
	int rc = 0;

	if (t->queues)
		return 0;
	t->queues = xcalloc(t->workers, sizeof(t->queues[0]));
	while (rc == 0 && opened < t->workers) {
		rc = queue_open(&request, &t->queues[opened]);
		opened += rc == 0;
	}
	/* Nobody may write into it before the program is there that keeps it from the kernel's own stack. */
	if (rc == 0)
		rc = datapath_attach_outlet(d, (int)if_nametoindex(request.ifr_name), e);
	if (rc == 0)
		rc = own_link_up(netlink_rtnl(n), request.ifr_name);
	if (rc == 0) {
		log_info("outlet_opened interface=%s queues=%u", request.ifr_name, opened);
		return 0;
	}
	queues_close(t, opened);
	return e->code ? e->code : err_set(e, rc, NULL, "no TAP device for plaintext copies: %s", strerror(-rc));
}
