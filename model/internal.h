/*
 * internal - what the files of model/ share: where in an object one is, words, defaults.
 */
#ifndef SPANWIRE_MODEL_INTERNAL_H
#define SPANWIRE_MODEL_INTERNAL_H

#include "model/model.h"

/* A place in an object, as a chain on the stack; text is made only when somebody will read it. */
struct place {
	const struct place *up;
	const char *name;        /* NULL: the item INDEX of the list above */
	size_t index;
};

/* "clone_servers[2].mac" into OUT, printable ASCII without blanks; cut at SIZE. Returns OUT. */
char *place_text(const struct place *p, char *out, size_t size);

/* err_set() with the text of a place. */
int place_err(struct err *e, int code, const struct place *p, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * The default of a field that is not a list, or what dflt_from points at in MESSAGE (may be NULL).
 * New reference; NULL: none.
 */
json_t *field_default(const struct field_desc *f, const json_t *message);

/* Is a stored value what an unset field means? An empty list, a message of defaults. */
bool value_is_default(const struct field_desc *f, const json_t *v);

/* The uuid of a stored reference. */

/*
 * Text by which an item of a list is known: its F_KEY fields, else the whole. Equal keys, equal
 * text; IP addresses are normalised. Appended to B; false when the item has no F_KEY field.
 */
bool item_key(const struct field_desc *f, const json_t *item, struct buf *b);

/*
 * Read one field of a message, as model_read() does. *OUT stays NULL for what is dropped (unknown,
 * read only). MODEL_PARTIAL: items need only what they are found by (PATCH delete).
 * MODEL_ALLOW_STORED: what was accepted once, as the system's own objects, is not refused again.
 */
enum { MODEL_PARTIAL = 1 << 16, MODEL_ALLOW_STORED = MODEL_ALLOW_LATER };
int model_read_field(const struct message_desc *m, const char *key, const json_t *v, unsigned flags,
		     struct model_resolver *r, json_t **out, struct model_notes *notes,
		     struct err *e);

/* Has it, or a message in it, a field with F_SECRET? */
bool has_secrets(const struct message_desc *m);

/* What a secret looks like in an answer; sent back, it keeps the secret. */
extern const char model_masked[];

/* Checks of single messages and kinds beyond their tables; check.c, check_clone.c, check_policy.c. */
int check_dns_configuration(const json_t *o, struct err *e);
int check_ip_addr(const json_t *o, struct err *e);
int check_ip_addr_prefix(const json_t *o, struct err *e);
int check_ip_addr_range(const json_t *o, struct err *e);
int check_port_range(const json_t *o, struct err *e);
int check_debug_ip_addr(const json_t *o, struct err *e);
int check_capture_filters(const json_t *o, struct err *e);
int check_capture_src_ports(const json_t *o, struct err *e);
int check_capture_dst_ports(const json_t *o, struct err *e);
int check_network_security_rule(const json_t *o, struct err *e);
int check_network_security_policy(const json_t *o, struct err *e);
int check_rules(const json_t *o, struct err *e);
int check_error_page_profile(const json_t *o, struct err *e);
int check_subnet(const json_t *o, struct err *e);
int check_role(const json_t *o, struct err *e);
int check_priority_labels(const json_t *o, struct err *e);
int check_ip_addr_match(const json_t *o, struct err *e);
int check_port_match_generic(const json_t *o, struct err *e);
int check_static_route(const json_t *o, struct err *e);
int check_gateway_monitor(const json_t *o, struct err *e);
int check_server(const json_t *o, struct err *e);
int check_vip(const json_t *o, struct err *e);
int check_fail_action(const json_t *o, struct err *e);
int check_http_application_profile(const json_t *o, struct err *e);
int check_http_cookie_persistence_profile(const json_t *o, struct err *e);
int check_ip_addr_port(const json_t *o, struct err *e);
int check_performance_limits(const json_t *o, struct err *e);
int check_service(const json_t *o, struct err *e);
int check_clone_encapsulation(const json_t *o, struct err *e);
int check_clone_server(const json_t *o, struct err *e);
int check_clone_filter(const json_t *o, struct err *e);
int check_clone_flow_log(const json_t *o, struct err *e);
int check_traffic_clone_profile(const json_t *o, struct err *e);
int check_vs_vip(const json_t *o, struct err *e);
int check_virtual_service(const json_t *o, struct err *e);
int check_pool(const json_t *o, struct err *e);
int check_vs_vip_change(const json_t *old, const json_t *fresh, struct err *e);
int check_health_monitor(const json_t *o, struct err *e);
int check_health_monitor_dns(const json_t *o, struct err *e);
int check_health_monitor_tcp(const json_t *o, struct err *e);

#endif
