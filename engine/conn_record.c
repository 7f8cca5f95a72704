#include "engine/conn_record.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/base.h"
#include "engine/counters.h"
#include "engine/log_plan.h"
#include "engine/records.h"
#include "engine/significance.h"
#include "engine/tls/tls.h"
#include "engine/worker.h"

/* As <netinet/tcp.h> has them, whose struct tcp_info is older. */
enum { TCP_TIME_WAIT = 6, TCP_CLOSE_WAIT = 8, TCP_LAST_ACK = 9, TCP_CLOSING = 11 };

static bool ask(const struct conn *c, struct tcp_info *info)
{
	socklen_t len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return getsockopt(c->watch.fd, IPPROTO_TCP, TCP_INFO, info, &len) == 0;
}

static struct record_side side_of(const struct tcp_info *i)
{
	return (struct record_side){ .rx_packets = i->tcpi_segs_in, .tx_packets = i->tcpi_segs_out,
				     .retransmits = i->tcpi_total_retrans, .out_of_orders = i->tcpi_rcv_ooopack };
}

static void count(struct conn *client, const struct tcp_info *i)
{
	struct service_counters *c = client->service->counters;

	counter_add(&c->packets_from_client, i->tcpi_segs_in);
	counter_add(&c->packets_to_client, i->tcpi_segs_out);
	counter_add(&c->client_retransmits, i->tcpi_total_retrans);
	counter_add(&c->client_out_of_orders, i->tcpi_rcv_ooopack);
	if (client->rtt_us || !i->tcpi_rtt) /* it was asked and counted with the first request */
		return;
	counter_add(&c->client_rtt_us, i->tcpi_rtt);
	counter_add(&c->client_rtt_n, 1);
}

/* The kernel counts a FIN as a byte. */
static uint64_t received(const struct tcp_info *i)
{
	bool ended = i->tcpi_state == TCP_CLOSE_WAIT || i->tcpi_state == TCP_LAST_ACK || i->tcpi_state == TCP_CLOSING ||
		     i->tcpi_state == TCP_TIME_WAIT;

	return i->tcpi_bytes_received - (ended && i->tcpi_bytes_received);
}

void conn_record_begin(struct record *rec, struct conn *client, struct conn *server, const struct snapshot *snap)
{
	uint64_t total_us = (mono_ns() - client->opened_ns) / 1000;
	struct tcp_info info;

	rec->type = RECORD_CONNECTION;
	rec->report_us = wall_us();
	rec->total_us = (uint32_t)MIN(total_us, (uint64_t)UINT32_MAX);
	rec->client = client->peer;
	rec->vip = client->listener->address;
	rec->port = (uint16_t)client->port;
	rec->tls = conn_is_tls(client);
	if (snap && snap->uuid)
		record_text(rec, RECORD_T_VS, snap->uuid, strlen(snap->uuid));
	tls_note(client, rec);
	if (ask(client, &info)) {
		count(client, &info);
		rec->sides[CONN_CLIENT] = side_of(&info);
		rec->client_rtt_us = info.tcpi_rtt;
		rec->mss = (uint16_t)MIN(info.tcpi_snd_mss, UINT16_MAX);
		rec->rx_bytes = received(&info);
		rec->tx_bytes = info.tcpi_bytes_sent - info.tcpi_bytes_retrans;
	}
	if (!server)
		return;
	rec->server = server->peer;
	rec->server_rtt_us = server->rtt_us;
	rec->server_src_port = conn_own_port(server);
	memcpy(rec->source, server->own_ip, sizeof(rec->source));
	if (ask(server, &info))
		rec->sides[CONN_SERVER] = side_of(&info);
}

void conn_record(struct conn *client)
{
	struct worker *w = client->worker;
	char room[RECORD_BYTES] __attribute__((aligned(8)));
	struct record *rec = (struct record *)room;

	if (!records_kept(w->counters->records))
		return;
	memset(rec, 0, sizeof(*rec));
	conn_record_begin(rec, client, NULL, client->listener->snapshot);
	rec->http = true;
	rec->requests = (uint32_t)MIN(client->uses, (uint64_t)UINT32_MAX);
	rec->reason = client->reason;
	if (!rec->reason && !client->uses)
		rec->reason = RECORD_CLOSED_EARLY;
	significance_judge(rec, client->listener->snapshot);
	log_plan_put(client->listener->snapshot, w, client->service->counters, rec);
}
