/*
 * system - the objects that a fresh controller holds, and that playbooks refer to by name.
 *
 * Texts as a client would send them. What is not built yet may stand here (System-HTTPS): it is
 * found, but who wants to use it is told.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/certificate.h"
#include "controller/change.h"
#include "controller/resolve.h"
#include "controller/rest/password.h"
#include "controller/rest/rest.h"

/* clang-format off */
#define KEY(text) "{'key': '" text "'}"
#define TLS_NOW   "[{'type': 'SSL_VERSION_TLS1_2'}, {'type': 'SSL_VERSION_TLS1_3'}]"
#define FORWARD_SECRET                                                                \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                  \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                  \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

static const struct {
	const char *kind, *uuid; /* uuid NULL: KIND-UUID4 */
	const char *json;
} objects[] = {
	{ "tenant", TENANT_ADMIN, "{'name': 'admin'}" },
	{ "systemconfiguration", "default", "{}" },
	{ "controllerproperties", "global", "{}" },
	{ "seproperties", "default", "{}" },
	{ "cluster", NULL,
	  "{'name': 'cluster-0-1', 'nodes': [{'name': 'node1', 'ip': {'addr': '127.0.0.1', 'type': 'V4'}}]}" },
	{ "cloud", NULL, "{'name': 'Default-Cloud', 'vtype': 'CLOUD_NONE'}" },
	{ "serviceenginegroup", NULL, "{'name': 'Default-Group'}" },
	{ "vrfcontext", NULL, "{'name': 'global', 'system_default': true}" },
	{ "vrfcontext", NULL, "{'name': 'management', 'system_default': true}" },

	{ "networkprofile", NULL,
	  "{'name': 'System-TCP-Proxy', 'profile': {'type': 'PROTOCOL_TYPE_TCP_PROXY', 'tcp_proxy_profile': {}}}" },
	{ "networkprofile", NULL,
	  "{'name': 'System-TCP-Fast-Path', 'profile': {'type': 'PROTOCOL_TYPE_TCP_FAST_PATH',"
	  " 'tcp_fast_path_profile': {}}}" },
	{ "networkprofile", NULL,
	  "{'name': 'System-UDP-Fast-Path', 'profile': {'type': 'PROTOCOL_TYPE_UDP_FAST_PATH',"
	  " 'udp_fast_path_profile': {}}}" },
	{ "networkprofile", NULL,
	  "{'name': 'System-UDP-Per-Pkt', 'profile': {'type': 'PROTOCOL_TYPE_UDP_FAST_PATH',"
	  " 'udp_fast_path_profile': {'per_pkt_loadbalance': true}}}" },
	{ "networkprofile", NULL,
	  "{'name': 'System-UDP-No-SNAT', 'profile': {'type': 'PROTOCOL_TYPE_UDP_FAST_PATH',"
	  " 'udp_fast_path_profile': {'snat': false}}}" },
	{ "networkprofile", NULL,
	  "{'name': 'System-UDP-Fast-Path-VDI', 'profile': {'type': 'PROTOCOL_TYPE_UDP_FAST_PATH',"
	  " 'udp_fast_path_profile': {'session_idle_timeout': 60}}}" },
	{ "networkprofile", NULL,
	  "{'name': 'System-SCTP-Proxy', 'profile': {'type': 'PROTOCOL_TYPE_SCTP_PROXY', 'sctp_proxy_profile': {}}}" },

	{ "applicationprofile", NULL,
	  "{'name': 'System-HTTP', 'type': 'APPLICATION_PROFILE_TYPE_HTTP', 'http_profile': {}}" },
	{ "applicationprofile", NULL,
	  "{'name': 'System-Secure-HTTP', 'type': 'APPLICATION_PROFILE_TYPE_HTTP', 'http_profile':"
	  " {'x_forwarded_proto_enabled': true, 'hsts_enabled': true, 'http_to_https': true,"
	  " 'httponly_enabled': true, 'secure_cookie_enabled': true, 'server_side_redirect_to_https': true}}" },
	{ "applicationprofile", NULL,
	  "{'name': 'System-Secure-HTTP-VDI', 'type': 'APPLICATION_PROFILE_TYPE_HTTP', 'http_profile':"
	  " {'connection_multiplexing_enabled': false, 'x_forwarded_proto_enabled': true, 'hsts_enabled': true,"
	  " 'http_to_https': true, 'httponly_enabled': true, 'secure_cookie_enabled': true,"
	  " 'server_side_redirect_to_https': true}}" },
	{ "applicationprofile", NULL, "{'name': 'System-L4-Application', 'type': 'APPLICATION_PROFILE_TYPE_L4'}" },
	{ "applicationprofile", NULL, "{'name': 'System-SSL-Application', 'type': 'APPLICATION_PROFILE_TYPE_SSL'}" },
	{ "applicationprofile", NULL, "{'name': 'System-DNS', 'type': 'APPLICATION_PROFILE_TYPE_DNS'}" },
	{ "applicationprofile", NULL, "{'name': 'System-Syslog', 'type': 'APPLICATION_PROFILE_TYPE_SYSLOG'}" },

	{ "analyticsprofile", NULL, "{'name': 'System-Analytics-Profile'}" },

	{ "applicationpersistenceprofile", NULL,
	  "{'name': 'System-Persistence-Client-IP', 'persistence_type': 'PERSISTENCE_TYPE_CLIENT_IP_ADDRESS',"
	  " 'ip_persistence_profile': {}}" },
	{ "applicationpersistenceprofile", NULL,
	  "{'name': 'System-Persistence-Http-Cookie', 'persistence_type': 'PERSISTENCE_TYPE_HTTP_COOKIE',"
	  " 'http_cookie_persistence_profile': {}}" },
	{ "applicationpersistenceprofile", NULL,
	  "{'name': 'System-Persistence-App-Cookie', 'persistence_type': 'PERSISTENCE_TYPE_APP_COOKIE',"
	  " 'app_cookie_persistence_profile': {'prst_hdr_name': 'JSESSIONID'}}" },
	{ "applicationpersistenceprofile", NULL,
	  "{'name': 'System-Persistence-TLS', 'persistence_type': 'PERSISTENCE_TYPE_TLS'}" },
	{ "applicationpersistenceprofile", NULL,
	  "{'name': 'System-Persistence-Custom-Http-Header', 'persistence_type':"
	  " 'PERSISTENCE_TYPE_CUSTOM_HTTP_HEADER', 'hdr_persistence_profile': {'prst_hdr_name': 'X-Session'}}" },

	{ "sslprofile", NULL,
	  "{'name': 'System-Standard', 'accepted_versions': " TLS_NOW ", 'accepted_ciphers': '" FORWARD_SECRET
	  ":AES128-GCM-SHA256:AES256-GCM-SHA384'}" },
	{ "sslprofile", NULL,
	  "{'name': 'System-Standard-PFS', 'accepted_versions': " TLS_NOW ", 'accepted_ciphers': '" FORWARD_SECRET
	  "'}" },
	{ "sslprofile", NULL,
	  "{'name': 'System-Standard-Portal', 'type': 'SSL_PROFILE_TYPE_SYSTEM', 'accepted_versions': " TLS_NOW
	  ", 'accepted_ciphers': '" FORWARD_SECRET "'}" },

	{ "stringgroup", NULL,
	  "{'name': 'System-Compressible-Content-Types', 'type': 'SG_TYPE_STRING', 'kv': [" KEY("text/html") ","
	  KEY("text/xml") "," KEY("text/plain") "," KEY("text/css") "," KEY("text/javascript") ","
	  KEY("application/javascript") "," KEY("application/x-javascript") "," KEY("application/xml") ","
	  KEY("application/json") "," KEY("application/pdf") "," KEY("image/svg+xml") "]}" },
	{ "stringgroup", NULL,
	  "{'name': 'System-Cacheable-Resource-Types', 'type': 'SG_TYPE_STRING', 'kv': [" KEY("text/css") ","
	  KEY("text/javascript") "," KEY("application/javascript") "," KEY("image/gif") "," KEY("image/jpeg") ","
	  KEY("image/png") "," KEY("image/svg+xml") "," KEY("image/webp") "," KEY("font/woff2") "]}" },
	{ "stringgroup", NULL,
	  "{'name': 'System-Rewritable-Content-Types', 'type': 'SG_TYPE_STRING', 'kv': [" KEY("text/html") ","
	  KEY("text/plain") "," KEY("text/css") "," KEY("text/javascript") "," KEY("application/json") "]}" },
	{ "stringgroup", NULL,
	  "{'name': 'System-Devices-Mobile', 'type': 'SG_TYPE_STRING', 'kv': [" KEY("Android") "," KEY("iPhone") ","
	  KEY("iPad") "," KEY("Mobile") "]}" },

	{ "useraccountprofile", NULL, "{'name': 'Default-User-Account-Profile'}" },
	{ "useraccountprofile", NULL,
	  "{'name': 'No-Lockout-User-Account-Profile', 'max_login_failure_count': 0, 'account_lock_timeout': 0,"
	  " 'credentials_timeout_threshold': 0}" },

	{ "backupconfiguration", NULL, "{'name': 'Backup-Configuration'}" },

	{ "healthmonitor", NULL,
	  "{'name': 'System-HTTP', 'type': 'HEALTH_MONITOR_HTTP', 'http_monitor': {'http_request': 'HEAD / HTTP/1.0',"
	  " 'http_response_code': ['HTTP_2XX', 'HTTP_3XX']}, 'send_interval': 10, 'receive_timeout': 4,"
	  " 'successful_checks': 3, 'failed_checks': 3}" },
	{ "healthmonitor", NULL,
	  "{'name': 'System-HTTPS', 'type': 'HEALTH_MONITOR_HTTPS', 'https_monitor': {'http_request': 'HEAD / HTTP/1.0',"
	  " 'http_response_code': ['HTTP_2XX', 'HTTP_3XX']}, 'send_interval': 10, 'receive_timeout': 4,"
	  " 'successful_checks': 3, 'failed_checks': 3}" },
	{ "healthmonitor", NULL,
	  "{'name': 'System-TCP', 'type': 'HEALTH_MONITOR_TCP', 'tcp_monitor': {}, 'send_interval': 10,"
	  " 'receive_timeout': 4, 'successful_checks': 2, 'failed_checks': 2}" },
	{ "healthmonitor", NULL,
	  "{'name': 'System-UDP', 'type': 'HEALTH_MONITOR_UDP', 'udp_monitor': {'udp_request':"
	  " 'EnterYourRequestDataHere'}, 'send_interval': 4, 'receive_timeout': 2}" },
	{ "healthmonitor", NULL,
	  "{'name': 'System-Ping', 'type': 'HEALTH_MONITOR_PING', 'send_interval': 10, 'receive_timeout': 4,"
	  " 'successful_checks': 2, 'failed_checks': 2}" },
	{ "healthmonitor", NULL,
	  "{'name': 'System-DNS', 'type': 'HEALTH_MONITOR_DNS', 'dns_monitor': {'query_name': 'www.example.com'},"
	  " 'send_interval': 6, 'receive_timeout': 4}" },
	{ "healthmonitor", NULL, "{'name': 'System-SCTP', 'type': 'HEALTH_MONITOR_SCTP', 'sctp_monitor': {}}" },
	{ "healthmonitor", NULL,
	  "{'name': 'System-Xternal-Shell', 'type': 'HEALTH_MONITOR_EXTERNAL', 'external_monitor':"
	  " {'command_code': '#!/bin/bash\\ncurl -s http://$IP:$PORT/ | grep -q .\\n'}}" },
	{ "healthmonitor", NULL,
	  "{'name': 'System-Xternal-Perl', 'type': 'HEALTH_MONITOR_EXTERNAL', 'external_monitor':"
	  " {'command_code': '#!/usr/bin/perl -w\\nuse strict;\\n'}}" },
	{ "healthmonitor", NULL,
	  "{'name': 'System-Xternal-Python', 'type': 'HEALTH_MONITOR_EXTERNAL', 'external_monitor':"
	  " {'command_code': '#!/usr/bin/python3\\n'}}" },
};
/* clang-format on */

/* clang-format off */
#define APPLICATION                                                                                              \
	"VIRTUALSERVICE POOL POOLGROUP HEALTHMONITOR NETWORKPROFILE APPLICATIONPROFILE HTTPPOLICYSET IPADDRGROUP " \
	"STRINGGROUP APPLICATIONPERSISTENCEPROFILE ANALYTICSPROFILE VSDATASCRIPTSET PRIORITYLABELS DNSPOLICY "     \
	"TRAFFICCLONEPROFILE ERRORPAGEPROFILE ERRORPAGEBODY AUTOSCALE VIRTUALSERVICE_MAINTENANCE POOL_MAINTENANCE " \
	"TRAFFIC_CAPTURE L4POLICYSET POOLGROUPDEPLOYMENTPOLICY PROTOCOLPARSER FILE_OBJECT "
#define SECURITY                                                                                                 \
	"SSLPROFILE SSLKEYANDCERTIFICATE PKIPROFILE NETWORKSECURITYPOLICY WAFPOLICY WAFPROFILE AUTHPROFILE "       \
	"CERTIFICATEMANAGEMENTPROFILE SECURITYPOLICY SSOPOLICY WAFCRS WAFPOLICYPSMGROUP CSRFPOLICY ICAP "           \
	"IPREPUTATIONDB BOTDETECTIONPOLICY JWTPROFILE JWTSERVERPROFILE "
#define OPERATION                                                                                                \
	"CONTROLLER INTERNAL SYSTEMCONFIGURATION CLOUD SERVICEENGINE SERVICEENGINEGROUP NETWORK VRFCONTEXT TENANT " \
	"USER ROLE UPGRADE UPGRADE_OPS UPGRADE_SEGROUP_OPS REBOOT TECHSUPPORT LICENSING IMAGE SE_TOKEN CLOUD_API "  \
	"CONTROLLERSITE SYSTEMREPORT TENANT_SYSTEM_CONFIGURATION ALBSERVICESCONFIG ALBSERVICESREG "                 \
	"ALBSERVICESSTATUS ALBSERVICESUSERINFO TESTSEDATASTORELEVEL1 TESTSEDATASTORELEVEL2 TESTSEDATASTORELEVEL3 "
/* clang-format on */

/*
 * What a role may write and read, without the prefix PERMISSION_; "*": everything else. What is in
 * neither: nothing.
 */
static const struct {
	const char *name, *write, *read;
} roles[] = {
	{ "System-Admin", "*", "" },
	{ "Tenant-Admin", "*", OPERATION },
	{ "Application-Admin", APPLICATION SECURITY "ALERT ALERTCONFIG ACTIONGROUPCONFIG", "*" },
	{ "Application-Operator", "VIRTUALSERVICE_MAINTENANCE POOL_MAINTENANCE", APPLICATION },
	{ "Security-Admin", SECURITY, APPLICATION "ALERT" },
};

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += n)
		if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
			return true;
	return false;
}

static const char *access_of(const char *write, const char *read, const char *resource)
{
	if (has_word(write, resource))
		return "WRITE_ACCESS";
	if (has_word(read, resource))
		return "READ_ACCESS";
	if (strcmp(write, "*") == 0)
		return "WRITE_ACCESS";
	return strcmp(read, "*") == 0 ? "READ_ACCESS" : "NO_ACCESS";
}

/* A role as a client would send it. */
static json_t *role_json(size_t i)
{
	const struct field_desc *privileges = field_find(kind_find("role")->msg, "privileges");
	const char *words = field_find(privileges->msg, "resource")->values, *word;
	json_t *v = json_pack("{s:s}", "name", roles[i].name);
	json_t *list = json_array();
	size_t n;

	while (word_next(&words, &word, &n)) {
		CLEANUP_FREE char *resource = xstrndup(word, n);

		json_array_append_new(list, json_pack("{s:s, s:s}", "resource", resource, "type",
						      access_of(roles[i].write, roles[i].read,
								resource + strlen("PERMISSION_"))));
	}
	json_object_set_new(v, "privileges", list);
	return v;
}

static int make_role(struct change *c, size_t i, struct err *e)
{
	CLEANUP_JSON json_t *v = role_json(i);
	char uuid[UUID_MAX] = "";

	return change_create(c, kind_find("role"), v, uuid, e);
}

static json_t *object_json(size_t i)
{
	CLEANUP_FREE char *text = xstrdup(objects[i].json);
	json_t *v = NULL;

	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	must(json_read(text, strlen(text), &v, NULL) == 0);
	return v;
}

static int make_object(struct change *c, size_t i, struct err *e)
{
	CLEANUP_JSON json_t *v = object_json(i);
	char uuid[UUID_MAX];

	snprintf(uuid, sizeof(uuid), "%s", objects[i].uuid ? objects[i].uuid : "");
	return change_create(c, kind_find(objects[i].kind), v, uuid, e);
}

/*
 * A fresh controller has certificates of its own making: for a first service, and under the names that playbooks know. The
 * first one is the authority of the others.
 */
static const struct {
	const char *name, *cn, *type;
	bool ca, rsa;
} certificates[] = {
	{ "System-Default-Root-CA", "System-Default-Root-CA", "SSL_CERTIFICATE_TYPE_CA", true, false },
	{ "System-Default-Cert", "System Default Cert", "SSL_CERTIFICATE_TYPE_VIRTUALSERVICE", false, true },
	{ "System-Default-Cert-EC", "System Default EC Cert", "SSL_CERTIFICATE_TYPE_VIRTUALSERVICE", false, false },
	{ "System-Default-Portal-Cert", "System Default Portal Cert", "SSL_CERTIFICATE_TYPE_SYSTEM", false, true },
	{ "System-Default-Portal-Cert-EC256", "System Default Portal EC Cert", "SSL_CERTIFICATE_TYPE_SYSTEM", false,
	  false },
	{ "System-Default-Secure-Channel-Cert", "System Default Secure Channel Cert", "SSL_CERTIFICATE_TYPE_SYSTEM",
	  false, false },
};

static int make_certificates(struct change *c, struct err *e)
{
	struct certificate_pair root = { 0 };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(certificates); i++) {
		CLEANUP_JSON json_t *v = NULL;
		struct certificate_pair p;
		char uuid[UUID_MAX] = "";

		certificate_pair_make(&p, certificates[i].cn, certificates[i].ca ? "CA" : "server", certificates[i].rsa,
				      i ? &root : NULL);
		v = json_pack("{s:s, s:s, s:s, s:{s:s}}", "name", certificates[i].name, "type", certificates[i].type,
			      "key", p.key, "certificate", "certificate", p.certificate);
		must(v);
		rc = change_create(c, kind_find("sslkeyandcertificate"), v, uuid, e);
		if (i == 0)
			root = p;
		else
			certificate_pair_fini(&p);
	}
	certificate_pair_fini(&root);
	return rc;
}

static int make_admin(struct change *c, const char *password, struct err *e)
{
	char record[PASSWORD_RECORD_MAX], uuid[UUID_MAX] = "user-1";
	CLEANUP_JSON json_t *v = NULL;

	password_hash(password, record);
	v = json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:s, s:s, s:[{s:s, s:s, s:b}]}", "name",
		      "admin", "username", "admin", "full_name", "System Administrator", "password",
		      record, "is_superuser", 1, "local", 1, "default_tenant_ref",
		      "/api/tenant/" TENANT_ADMIN, "user_profile_ref",
		      "/api/useraccountprofile?name=No-Lockout-User-Account-Profile", "access",
		      "role_ref", "/api/role?name=System-Admin", "tenant_ref",
		      "/api/tenant/" TENANT_ADMIN, "all_tenants", 1);
	must(v);
	return change_create(c, kind_find("user"), v, uuid, e);
}

bool system_objects_exist(struct store *s)
{
	return store_get(s, "tenant", TENANT_ADMIN) != NULL;
}

/* What an older controller did not have; nobody could delete it. */
static int make_missing(struct change *c, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(objects); i++) {
		CLEANUP_JSON json_t *v = object_json(i);
		const char *name = json_str(v, "name", NULL);
		bool shared = kind_find(objects[i].kind)->flags & K_TENANT;

		/* The only one of its kind may have another name by now. */
		if ((name ? store_find(c->store, objects[i].kind, shared ? TENANT_ADMIN : NULL, NULL, name)
			  : store_get(c->store, objects[i].kind, objects[i].uuid)) ||
		    strcmp(objects[i].kind, "cluster") == 0)
			continue;
		rc = make_object(c, i, e);
	}
	if (rc == 0 && !store_find(c->store, "sslkeyandcertificate", TENANT_ADMIN, NULL, certificates[0].name))
		rc = make_certificates(c, e);
	return rc;
}

int system_objects_follow(struct store *s, struct err *e)
{
	struct change_by by = { .user = "system",
				.client = "",
				.tenant = TENANT_ADMIN,
				.internal = true,
				.system = true };
	struct change c;
	int rc = 0;

	change_begin(&c, s, &by);
	rc = make_missing(&c, e);
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(roles); i++) {
		const struct object *o = store_find(s, "role", TENANT_ADMIN, NULL, roles[i].name);
		CLEANUP_JSON json_t *v = role_json(i);

		if (o && o->system &&
		    !json_equal(json_object_get(v, "privileges"), json_object_get(o->body, "privileges")))
			rc = change_update(&c, o->kind, o->uuid, v, 0, e);
	}
	if (rc == 0)
		rc = change_commit(&c, e);
	else
		change_abort(&c);
	model_notes_fini(&c.notes);
	return rc;
}

int system_objects_make(struct store *s, const char *password, struct err *e)
{
	struct change_by by = { .user = "system",
				.client = "",
				.tenant = TENANT_ADMIN,
				.strict = true,
				.internal = true,
				.system = true };
	struct change c;
	int rc = 0;

	change_begin(&c, s, &by);
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(objects); i++) {
		rc = make_object(&c, i, e);
		if (rc < 0)
			err_within(e, objects[i].kind);
	}
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(roles); i++)
		rc = make_role(&c, i, e);
	if (rc == 0)
		rc = make_certificates(&c, e);
	if (rc == 0)
		rc = make_admin(&c, password, e);
	if (rc == 0)
		rc = change_commit(&c, e);
	else
		change_abort(&c);
	model_notes_fini(&c.notes);
	return rc;
}
