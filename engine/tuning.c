#include "engine/tuning.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/base.h"
#include "model/structs.h"

#define SYN_RETRIES 5      /* the kernel's, for a SYN-ACK */
#define RTO_MIN_MS  200    /* the kernel's */
#define MSS_MIN     88u    /* what the kernel takes */
#define MSS_MAX     32767u

/* The kernel gives up after so many retransmissions, each twice as long after the last, when it is said in time. */
static unsigned time_of(int64_t retransmissions)
{
	return RTO_MIN_MS * ((2u << retransmissions) - 1);
}

void tuning_from(struct tuning *t, const struct tcp_proxy_profile *p)
{
	if (p->automatic)
		return;
	if (!p->use_interface_mtu)
		t->mss = (unsigned)p->max_segment_size;
	t->syn_retries = (unsigned)p->max_syn_retransmissions;
	t->user_timeout_ms = time_of(p->max_retransmissions);
	if (!p->auto_window_growth)
		t->window = (unsigned)p->receive_window * 1024;
	t->congestion = p->cc_algo == CC_ALGO_CUBIC ? "cubic" : "reno";
}

static void set(int fd, int option, unsigned value)
{
	int v = (int)value;

	setsockopt(fd, IPPROTO_TCP, option, &v, sizeof(v));
}

/* The largest segment, as TCP_MAXSEG counts it: without the headers, options not thought of. 0: as it comes. */
static unsigned mss_of(const struct tuning *t, unsigned room, bool v6)
{
	unsigned headers = v6 ? 60 : 40, mss = room ? MIN(MAX(room, headers + MSS_MIN) - headers, MSS_MAX) : 0;

	return mss && t->mss ? MIN(mss, t->mss) : mss + t->mss;
}

void tuning_listener(const struct tuning *t, int fd, unsigned room, bool v6)
{
	set(fd, TCP_MAXSEG, mss_of(t, room, v6));
	set(fd, TCP_SYNCNT, t->syn_retries ? t->syn_retries : SYN_RETRIES);
}

static void established(const struct tuning *t, int fd)
{
	if (t->user_timeout_ms)
		set(fd, TCP_USER_TIMEOUT, t->user_timeout_ms);
	if (t->window)
		set(fd, TCP_WINDOW_CLAMP, t->window);
	if (t->congestion)
		setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, t->congestion, (socklen_t)strlen(t->congestion));
}

void tuning_accepted(const struct tuning *t, int fd)
{
	established(t, fd);
}

void tuning_dial(const struct tuning *t, int fd, unsigned room, bool v6)
{
	unsigned mss = mss_of(t, room, v6);
	int one = 1;

	if (t->nodelay)
		set(fd, TCP_NODELAY, 1);
	if (t->keepalive_s) {
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
		set(fd, TCP_KEEPIDLE, t->keepalive_s);
	}
	/* It says our SYN to the server as well: what he sends is no longer either. */
	if (mss)
		set(fd, TCP_MAXSEG, mss);
	if (t->syn_retries)
		set(fd, TCP_SYNCNT, t->syn_retries);
	established(t, fd);
}
