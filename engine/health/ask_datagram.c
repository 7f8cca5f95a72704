/*
 * Over UDP: a datagram out, a datagram back. That nothing listens is told by the server's ICMP, which the
 * kernel gives as an error of the socket.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "engine/backend.h"
#include "engine/health/ask.h"
#include "engine/health/dns.h"
#include "engine/health/probe.h"

static void refused(struct probe *p, int rc)
{
	if (rc == -ECONNREFUSED)
		probe_end(p, VERDICT_DOWN, "nothing listens on the port: ICMP says it is unreachable");
	else
		probe_failed(p, rc);
}

/* Sends P->out; the next datagram is for JUDGE. */
static void send_out(struct probe *p, void (*judge)(struct watch *w, uint32_t events))
{
	int fd = socket(p->address.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), rc;

	probe_move(p, PROBE_READING);
	if (fd < 0) {
		probe_failed(p, -errno);
		return;
	}
	rc = watch_start_patient(p->loop, &p->watch, fd, EPOLLIN, judge);
	if (rc < 0) {
		close(fd);
		probe_failed(p, rc);
		return;
	}
	p->in = xmalloc(p->monitor->question.read_max);
	probe_mark(p, fd);
	rc = backend_bind(fd, p->device);
	if (rc < 0)
		refused(p, rc);
	else if (connect(fd, &p->address.sa, address_len(&p->address)) < 0 ||
		 send(fd, p->out, p->out_len, MSG_NOSIGNAL) < 0)
		refused(p, -errno);
}

/* The next datagram into P->in; false: there is none, or the check is over. */
static bool receive(struct probe *p)
{
	ssize_t n = recv(p->watch.fd, p->in, p->monitor->question.read_max, 0);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		refused(p, -errno);
	if (n < 0)
		return false;
	p->in_len = (size_t)n;
	return true;
}

static void stop(struct probe *p)
{
	int fd = p->watch.fd;

	if (!p->watch.active)
		return;
	watch_stop(p->loop, &p->watch);
	close(fd);
}

/* ---- any text ---- */

static void udp_judge(struct watch *w, uint32_t events)
{
	struct probe *p = CONTAINER_OF(w, struct probe, watch);
	const struct question *q = &p->monitor->question;

	(void)events;
	if (!receive(p))
		return;
	if (q->maintenance_text && probe_heard(p, q->maintenance_text))
		probe_end(p, VERDICT_MAINTENANCE, "the answer has the text of maintenance");
	else if (!q->expect)
		probe_end(p, VERDICT_UP, "answered");
	else if (probe_heard(p, q->expect))
		probe_end(p, VERDICT_UP, "answered with the expected text");
	else
		probe_end(p, VERDICT_DOWN, "answered without the expected text");
}

static void udp_begin(struct probe *p)
{
	const char *request = p->monitor->question.request;

	if (!p->out)
		p->out = xstrdup(request ? request : "");
	p->out_len = strlen(p->out);
	send_out(p, udp_judge);
}

/* Who was not told to expect anything takes silence for consent. */
static void udp_late(struct probe *p)
{
	const struct question *q = &p->monitor->question;

	if (q->expect)
		probe_end(p, VERDICT_DOWN, "no answer within %g s", probe_timeout_s(p));
	else
		probe_end(p, VERDICT_UP, "nothing was said against it within %g s", probe_timeout_s(p));
}

const struct ask_ops ask_udp = { udp_begin, udp_late, stop };

/* ---- DNS ---- */

static void dns_judge(struct watch *w, uint32_t events)
{
	struct probe *p = CONTAINER_OF(w, struct probe, watch);
	const struct question *q = &p->monitor->question;
	const char *type = dns_type_text(q->dns.type);
	struct dns_answer a;

	(void)events;
	/* What is no answer to this query is anybody's: the right one may still come. */
	if (!receive(p) || !dns_read((const uint8_t *)p->in, p->in_len, p->id, q->dns.name, q->dns.type,
				     q->dns.address, &a))
		return;
	if (a.rcode && !q->dns.any_rcode) {
		if (dns_rcode_text(a.rcode))
			probe_end(p, VERDICT_DOWN, "answered %s", dns_rcode_text(a.rcode));
		else
			probe_end(p, VERDICT_DOWN, "answered with code %u", a.rcode);
	} else if (q->dns.need == DNS_NEED_TYPE && !a.of_type) {
		probe_end(p, VERDICT_DOWN, "the answer has no %s record", type);
	} else if (q->dns.need == DNS_NEED_RECORD && !a.records) {
		probe_end(p, VERDICT_DOWN, "the answer has no record");
	} else if (q->dns.address && !a.has_address) {
		probe_end(p, VERDICT_DOWN, "%.45s is not in the answer", q->dns.address);
	} else {
		probe_end(p, VERDICT_UP, "answered with %u record%s", a.records, a.records == 1 ? "" : "s");
	}
}

static void dns_begin(struct probe *p)
{
	const struct question *q = &p->monitor->question;
	int n;

	random_bytes(&p->id, sizeof(p->id));
	if (!p->out)
		p->out = xmalloc(DNS_QUERY_MAX); /* anew each time: it has a number */
	n = dns_query((uint8_t *)p->out, p->id, q->dns.name, q->dns.type);
	p->out_len = n > 0 ? (size_t)n : 0;
	if (n > 0) {
		send_out(p, dns_judge);
		return;
	}
	probe_move(p, PROBE_READING);
	probe_end(p, VERDICT_DOWN, "%.60s is no name that can be asked for", q->dns.name);
}

static void dns_late(struct probe *p)
{
	probe_end(p, VERDICT_DOWN, "no answer within %g s", probe_timeout_s(p));
}

const struct ask_ops ask_dns = { dns_begin, dns_late, stop };
