/*
 * rtnl - rtnetlink, the kernel's word on interfaces, addresses, neighbours and routes: asked, and heard.
 *
 * Who asks waits for the answer (microseconds). News are read by their owner as they come.
 */
#ifndef SPANWIRE_ENGINE_REACH_RTNL_H
#define SPANWIRE_ENGINE_REACH_RTNL_H

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

/* Origin (IFA_PROTO, RTA_PROTO ...) of what we add, so that a later warden knows it. */
#define RTNL_OURS 0x53

struct rtnl {
	struct mnl_socket *socket;
	unsigned seq;
};

/* Zeroed before. 0 or -errno; rtnl_close() in any case. */
int rtnl_open(struct rtnl *r);
void rtnl_close(struct rtnl *r);

/* A request of TYPE with FLAGS, in BUF. */
struct nlmsghdr *rtnl_message(char *buf, uint16_t type, uint16_t flags);
/*
 * Sends H and reads until the kernel's last word; what it tells goes to CB (NULL: nobody), which may ask again. 0 or
 * -errno, the kernel's or -EAGAIN when it was silent for two seconds.
 */
int rtnl_ask(struct rtnl *r, struct nlmsghdr *h, mnl_cb_t cb, void *arg);

/* A socket that hears of N GROUPS (RTNLGRP_*), and never waits; *OUT is closed by the caller in any case. 0 or -errno. */
int rtnl_listen(const int *groups, size_t n, struct mnl_socket **out);

#endif
