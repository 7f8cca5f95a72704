#include "engine/clone/trial.h"

#include <arpa/inet.h>

#include "base/base.h"
#include "engine/config/assigned.h"
#include "engine/bpf/datapath.h"
#include "engine/clone/clone.h"
#include "engine/link/link.h"
#include "engine/clone/synth.h"

enum {
	LOOK_MS = 100,   /* so often we look whether all receivers are known, */
	PATIENCE = 20,   /* and so often in vain */
	SERVERS_MAX = 64,
	FRAME_MAX = 2048,
	MSS = 1200,      /* with anything around it */
	PORTS_FROM = 49152,
	PORTS = 16384,
};

struct trials {
	struct loop *loop;
	struct clones *clones;
	struct datapath *datapath;
	struct link *link;
	struct list all;
	unsigned running;
};

struct trial {
	struct list in_trials;
	struct trials *trials;
	struct timer look;
	struct grave grave;
	struct clone_set *set;
	json_int_t n;            /* of the question */
	unsigned looked;
	char label[128];
};

/* Where frames of a conversation go. */
struct way {
	struct synth_out out;
	struct datapath *datapath;
	uint32_t slot;
	struct synth_end client;
	uint64_t frames, bytes;
};

struct trials *trials_new(struct loop *l, struct clones *c, struct datapath *d, struct link *k)
{
	struct trials *t = xcalloc(1, sizeof(*t));

	*t = (struct trials){ .loop = l, .clones = c, .datapath = d, .link = k };
	list_init(&t->all);
	return t;
}

static void answer(struct trials *t, json_int_t n, json_t *data, const char *error)
{
	json_t *a = json_pack("{s:s, s:I}", "type", "answer", "n", n);

	if (data)
		json_object_set_new(a, "data", data);
	else
		json_object_set_new(a, "error", json_string(error));
	link_answer(t->link, a);
}

static void trial_freed(struct grave *g)
{
	free(CONTAINER_OF(g, struct trial, grave));
}

static void trial_end(struct trial *x)
{
	timer_stop(x->trials->loop, &x->look);
	clone_set_free(x->set);
	list_remove(&x->in_trials);
	x->trials->running--;
	loop_bury(x->trials->loop, &x->grave, trial_freed);
}

/* ---- what is said ---- */

static void frame(struct synth_out *o, const struct synth_frame *f)
{
	struct way *w = CONTAINER_OF(o, struct way, out);
	/* The client's frames left us, as those to a server do. */
	bool outward = memcmp(f->head + f->l4, &(uint16_t){ htons(w->client.port) }, 2) == 0;
	uint8_t bytes[FRAME_MAX];
	size_t len = f->head_len;

	must(f->head_len + f->data_len <= sizeof(bytes));
	memcpy(bytes, f->head, f->head_len);
	for (int i = 0; i < f->n_data; i++) {
		memcpy(bytes + len, f->data[i].iov_base, f->data[i].iov_len);
		len += f->data[i].iov_len;
	}
	w->frames++;
	w->bytes += len;
	(void)datapath_trial(w->datapath, w->slot, outward, bytes, len);
}

static void say(struct synth *s, enum synth_side side, char *text, struct synth_out *o)
{
	struct iovec v = { text, strlen(text) };

	synth_data(s, side, &v, 1, o);
	if (synth_owes(s))
		synth_ack(s, o);
	free(text);
}

/* The text that stock rules alert on: what `id` says to root. */
static void converse(struct way *w, const struct synth_end *server, const char *label, const char *name)
{
	static const uint8_t macs[12] = { 0x02, 0x53, 0x57, 0, 0, 2, 0x02, 0x53, 0x57, 0, 0, 1 };
	static const char body[] = "uid=0(root) gid=0(root) groups=0(root)\n";
	struct synth s;

	synth_init(&s, &w->client, server, MSS, macs);
	synth_open(&s, &w->out);
	say(&s, SYNTH_CLIENT,
	    xasprintf("GET /spanwire-clone-test HTTP/1.1\r\nHost: clone-test.invalid\r\nUser-Agent: spanwire-clone-test\r\n"
		      "X-Spanwire-Clone-Test: %s to %s\r\nConnection: close\r\n\r\n", label, name),
	    &w->out);
	say(&s, SYNTH_SERVER,
	    xasprintf("HTTP/1.1 200 OK\r\nServer: spanwire-clone-test\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
		      "Connection: close\r\n\r\n%s", sizeof(body) - 1, body),
	    &w->out);
	synth_end(&s, SYNTH_SERVER, &w->out);
	synth_end(&s, SYNTH_CLIENT, &w->out);
	if (synth_owes(&s))
		synth_ack(&s, &w->out);
}

/* ---- what is answered ---- */

static bool starts_with_drop(const char *name)
{
	return strncmp(name, "dropped_", 8) == 0;
}

static json_t *dropped_json(const struct target_counters *c)
{
	json_t *out = json_object();

#define TARGET_COUNTER(name, unit, help)                                                           \
	if (starts_with_drop(#name) && c->name)                                                    \
		json_object_set_new(out, #name, json_integer((json_int_t)c->name));
#include "engine/bpf/counters.h"
	return out;
}

static struct synth_end end_of(const char *addr, uint16_t port)
{
	struct synth_end e = { .port = port };
	struct in6_addr ip;

	must(ip_parse(addr, &ip) == 0);
	memcpy(e.addr, &ip, 16);
	return e;
}

static json_t *try_one(struct trial *x, uint32_t i)
{
	const struct clone_want *want = clone_set_want(x->set, i);
	bool v6 = want->has_ip && !ip_is_v4(&want->ip);
	const char *client = v6 ? "2001:db8::1" : "192.0.2.1", *server = v6 ? "2001:db8::2" : "192.0.2.2";
	struct synth_end to = end_of(server, 80);
	char ip[IP_TEXT_MAX] = "", mac[18], own[18];
	struct clone_books b;
	uint16_t port;
	struct way w = { .out.frame = frame, .datapath = x->trials->datapath,
			 .slot = clone_set_range(x->set).first + i };
	json_t *o;

	random_bytes(&port, sizeof(port));
	port = (uint16_t)(PORTS_FROM + port % PORTS);
	w.client = end_of(client, port);
	clone_set_read(x->set, i, &b);
	mac_text(b.mac, mac);
	if (want->has_ip)
		ip_text(&want->ip, ip);
	converse(&w, &to, x->label, *ip ? ip : mac);
	clone_set_read(x->set, i, &b);
	o = json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:i, s:I, s:I, s:I, s:o}", "ip",
		      *ip ? json_string(ip) : json_null(), "mac", mac, "state", b.state, "interface", b.interface,
		      "source_mac", mac_text(b.own_mac, own), "client", client, "client_port", (int)port,
		      "server", server, "server_port", 80, "frames", (json_int_t)w.frames, "sent", (json_int_t)b.c.sent,
		      "bytes", (json_int_t)w.bytes, "dropped", dropped_json(&b.c));
	return o;
}

static bool all_ready(struct clone_set *s)
{
	for (uint32_t i = 0; i < clone_set_range(s).count; i++) {
		struct clone_books b;

		clone_set_read(s, i, &b);
		if (strncmp(b.state, "ready", 5) != 0)
			return false;
	}
	return true;
}

static void look(struct timer *timer)
{
	struct trial *x = CONTAINER_OF(timer, struct trial, look);
	json_t *list;

	/* A receiver that is being resolved is known in a moment, or nobody answers. */
	if (!all_ready(x->set) && x->looked++ < PATIENCE) {
		timer_in(x->trials->loop, &x->look, LOOK_MS, look);
		return;
	}
	list = json_array();
	for (uint32_t i = 0; i < clone_set_range(x->set).count; i++)
		json_array_append_new(list, try_one(x, i));
	answer(x->trials, x->n, json_pack("{s:o}", "clone_servers", list), NULL);
	trial_end(x);
}

void trials_take(struct trials *t, const struct assigned *a, const json_t *ask)
{
	json_int_t n = json_int(ask, "n", 0);
	struct clone_want wants[SERVERS_MAX];
	struct clone_set *set = NULL;
	struct err e = { 0 };
	struct trial *x;
	uint32_t count;

	if (!a || !a->clone) {
		answer(t, n, NULL, !a		     ? "It does not carry the virtual service."
				   : a->clone_trouble ? a->clone_trouble
						      : "It copies nothing of the virtual service.");
		return;
	}
	if (t->running == TRIALS_MAX) {
		answer(t, n, NULL, "Other tests are under way at the moment.");
		return;
	}
	count = MIN(clone_set_range(a->clone).count, (uint32_t)SERVERS_MAX);
	for (uint32_t i = 0; i < count; i++)
		wants[i] = *clone_set_want(a->clone, i);
	if (clone_set_new(t->clones, clone_set_plan(a->clone), wants, count, &set, &e) < 0) {
		answer(t, n, NULL, err_line(&e));
		return;
	}
	x = xcalloc(1, sizeof(*x));
	x->trials = t;
	x->set = set;
	x->n = n;
	/* It goes into a header of HTTP. */
	snprintf(x->label, sizeof(x->label), "%s", json_str(ask, "label", ""));
	text_clean(x->label);
	list_init(&x->in_trials);
	list_insert(&t->all, &x->in_trials);
	t->running++;
	timer_in(t->loop, &x->look, 0, look);
}

void trials_free(struct trials *t)
{
	if (!t)
		return;
	LIST_FOREACH(l, &t->all)
		trial_end(LIST_ENTRY(l, struct trial, in_trials));
	free(t);
}
