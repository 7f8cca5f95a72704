/* What is done with objects: each promise of model.h, and each sentence of a refusal. */
#include "base/test.h"

#include <math.h>
#include <time.h>

#include "model/structs.h"
#include "model/test_world.h"

/* ---- what is refused, and how it is said ------------------------------ */

/* clang-format off */
static const struct {
	const char *kind, *body, *error; /* the line must begin with ERROR */
} refused[] = {
	{ "pool", "[]", "The body must be an object, not a list." },
	{ "pool", "{}", "name: Is required." },
	{ "pool", "{'name': ''}", "name: Must not be empty." },
	{ "pool", "{'name': null}", "name: null is not a value; leave the field out to unset it." },
	{ "pool", "{'name': 5}", "name: Must be a text, not a number." },
	{ "pool", "{'name': 'p', 'enabled': 'maybe'}", "enabled: Must be true or false, not \"maybe\"." },
	{ "pool", "{'name': 'p', 'enabled': 1}", "enabled: Must be true or false, not a number." },
	{ "pool", "{'name': 'p', 'servers': {}}", "servers: Must be a list, not an object." },
	{ "pool", "{'name': 'p', 'servers': [7]}", "servers[0]: Must be an object, not a number." },
	{ "pool", "{'name': 'p', 'servers': [{}]}", "servers[0].ip: Is required." },
	{ "pool", "{'name': 'p', 'servers': [{'ip': {'addr': '10.0.0', 'type': 'V4'}}]}",
	  "servers[0].ip.addr: \"10.0.0\" is not an IPv4 address." },
	{ "pool", "{'name': 'p', 'servers': [{'ip': {'addr': '10.0.0.1', 'type': 'V6'}}]}",
	  "servers[0].ip.addr: \"10.0.0.1\" is not an IPv6 address." },
	{ "pool", "{'name': 'p', 'servers': [{'ip': {'addr': 'a b', 'type': 'DNS'}}]}",
	  "servers[0].ip.addr: \"a b\" is not a host name." },
	{ "pool", "{'name': 'p', 'servers': [{'ip': {'addr': '10.0.0.1', 'type': 'V5'}}]}",
	  "servers[0].ip.type: \"V5\" is not one of V4, DNS, V6." },
	{ "pool", "{'name': 'p', 'servers': [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 70000}]}",
	  "servers[0].port: 70000 is out of range: 1 to 65535, or 0." },
	{ "pool", "{'name': 'p', 'servers': [{'ip': {'addr': '::1', 'type': 'V6'}, 'port': 80},"
		  " {'ip': {'addr': '::2', 'type': 'V6'}, 'port': 80}, {'ip': {'addr': '0::1', 'type': 'V6'}, 'port': '80'}]}",
	  "servers[2]: Is the same as item 0 of the list." },
	{ "pool", "{'name': 'p', 'default_server_port': '8o'}", "default_server_port: Must be a whole number, not \"8o\"." },
	{ "pool", "{'name': 'p', 'default_server_port': 80.5}", "default_server_port: Must be a whole number, not a number." },
	{ "pool", "{'name': 'p', 'graceful_disable_timeout': 7201}",
	  "graceful_disable_timeout: 7201 is out of range: 1 to 7200, or 0,-1 MIN." },
	{ "pool", "{'name': 'p', 'min_servers_up': -1}", "min_servers_up: -1 is out of range: 0 to 4294967295." },
	{ "pool", "{'name': 'p', 'lb_algorithm': 'LB_ALGORITHM_ROUND_ROBBIN'}",
	  "lb_algorithm: \"LB_ALGORITHM_ROUND_ROBBIN\" is not known; did you mean LB_ALGORITHM_ROUND_ROBIN?" },
	{ "pool", "{'name': 'p', 'lb_algorithm': 'LB_ALGORITHM_TOPOLOGY'}",
	  "lb_algorithm: LB_ALGORITHM_TOPOLOGY is not built yet; choose" },
	{ "pool", "{'name': 'p', 'health_monitor_refs': ['/api/healthmonitor?name=nope']}",
	  "health_monitor_refs[0]: HealthMonitor object not found" },
	{ "pool", "{'name': 'p', 'health_monitor_refs': ['/api/healthmonitor?name=odd']}",
	  "health_monitor_refs[0]: Two objects have this name." },
	{ "virtualservice", "{'name': 'v', 'services': [{'port': 80}], 'sso_policy_ref': '/api/ssopolicy?name=x'}",
	  "sso_policy_ref: Is not built yet; without effect it would mislead. Leave it out." },
	{ "pool", "{'name': 'p', 'autoscale_policy_ref': '/api/serverautoscalepolicy?name=x'}",
	  "autoscale_policy_ref: serverautoscalepolicy object not found" },
	{ "pool", "{'name': 'p', 'fail_action': {'type': 'FAIL_ACTION_BACKUP_POOL', 'backup_pool': {}}}",
	  "fail_action.backup_pool.backup_pool_ref: Is required." },
	{ "pool", "{'name': 'p', 'placement_networks': [{'network_ref': '/api/network?name=n', 'subnet':"
		  " {'ip_addr': {'addr': '10.0.0.0', 'type': 'V4'}, 'mask': 33}}]}",
	  "placement_networks[0].subnet.mask: 33 is out of range: 0 to 32." },
	{ "pool", "{'name': 'p', 'routing_pool': true}",
	  "routing_pool: Is not built yet; without effect it would mislead. Leave it out." },
	{ "sslprofile", "{'name': 'p', 'accepted_versions': [{'type': 'SSL_VERSION_TLS1_2'}, {'type': 'SSL_VERSION_TLS1_1'}]}",
	  "accepted_versions[1].type: SSL_VERSION_TLS1_1 is not built yet; choose SSL_VERSION_TLS1_2, SSL_VERSION_TLS1_3."
	  " TLS 1.1 and older sign with SHA-1 and MD5, which the security level of OpenSSL does not allow." },
	{ "virtualservice", "{'name': 'v', 'services': [{'port': 0}]}", "services[0].port: 0 is not a port to listen on." },
	{ "virtualservice", "{'name': 'v', 'services': [{'port': 80, 'port_range_end': 79}]}",
	  "services[0].port_range_end: Must not lie before port." },
	{ "virtualservice", "{'name': 'v', 'services': [{'port': 80, 'port_range_end': 90}, {'port': 85}]}",
	  "services[1]: Has a port in common with services[0]." },
	{ "virtualservice", "{'name': 'v', 'waf_policy_ref': '/api/wafpolicy/x'}", "waf_policy_ref: Is not built yet" },
	{ "networksecuritypolicy",
	  "{'name': 'p', 'rules': [{'name': 'a', 'index': 1, 'enable': true, 'action': 'NETWORK_SECURITY_POLICY"
	  "_ACTION_TYPE_DENY', 'match': {}}, {'name': 'b', 'index': 1, 'enable': true, 'action': 'NETWORK_SECUR"
	  "ITY_POLICY_ACTION_TYPE_DENY', 'match': {}}]}",
	  "rules[1].index: 1 is that of rules[0] already." },
	{ "networksecuritypolicy",
	  "{'name': 'p', 'rules': [{'name': 'a', 'index': 1, 'enable': true, 'action': 'NETWORK_SECURITY_POLICY"
	  "_ACTION_TYPE_DENY', 'match': {}}, {'name': 'b', 'index': 2, 'enable': true, 'action': 'NETWORK_SECUR"
	  "ITY_POLICY_ACTION_TYPE_DENY', 'match': {}}, {'name': 'b', 'index': 3, 'enable': true, 'action': 'NET"
	  "WORK_SECURITY_POLICY_ACTION_TYPE_DENY', 'match': {}}]}",
	  "rules[2].name: b is that of rules[1] already." },
	{ "networksecuritypolicy",
	  "{'name': 'p', 'rules': [{'name': 'a', 'index': 1, 'enable': true, 'action': 'NETWORK_SECURITY_POLICY"
	  "_ACTION_TYPE_DENY', 'match': {'client_ip': {'match_criteria': 'IS_NOT_IN'}}}]}",
	  "rules[0].match.client_ip.addrs: Names nobody: set addrs" },
	{ "networksecuritypolicy",
	  "{'name': 'p', 'rules': [{'name': 'a', 'index': 1, 'enable': true, 'action': 'NETWORK_SECURITY_POLICY"
	  "_ACTION_TYPE_DENY', 'match': {'client_ip': {'match_criteria': 'IS_IN', 'addrs': [{'addr': 'a.b', 'ty"
	  "pe': 'DNS'}]}}}]}",
	  "rules[0].match.client_ip.addrs[0].type: A client has an address" },
	{ "networksecuritypolicy",
	  "{'name': 'p', 'rules': [{'name': 'a', 'index': 1, 'enable': true, 'action': 'NETWORK_SECURITY_POLICY"
	  "_ACTION_TYPE_DENY', 'match': {'client_port': {'match_criteria': 'IS_IN'}}}]}",
	  "rules[0].match.client_port.ports: Names no port" },
	{ "httppolicyset",
	  "{'name': 'p', 'http_request_policy': {'rules': [{'name': 'a', 'index': 4, 'enable': true}, {'name': "
	  "'b', 'index': 4, 'enable': true}]}}",
	  "http_request_policy.rules[1].index: 4 is that of rules[0] already." },
	{ "l4policyset",
	  "{'name': 'p', 'l4_connection_policy': {'rules': [{'name': 'a', 'index': 4}, {'name': 'b', 'index': 4"
	  "}]}}",
	  "l4_connection_policy.rules[1].index: 4 is that" },
	{ "errorpageprofile",
	  "{'name': 'p', 'error_pages': [{'index': 1}, {'index': 1}]}",
	  "error_pages[1].index: 1 is that of error_pages[0] already." },
	{ "prioritylabels",
	  "{'name': 'p', 'equivalent_labels': [{'labels': ['a', 'b']}, {'labels': ['b']}]}",
	  "equivalent_labels[1].labels[0]: b stands in equivalent_labels[0] already." },
	{ "prioritylabels",
	  "{'name': 'p', 'equivalent_labels': [{'labels': ['']}]}",
	  "equivalent_labels[0].labels[0]: A label has at least" },
	{ "network", "{'name': 'n', 'configured_subnets': [{'prefix': {'ip_addr': {'addr': '10.0.0.0', 'type': 'V4'}, 'mask': 24},"
	  " 'static_ip_ranges': [{'range': {'begin': {'addr': '10.0.0.1', 'type': 'V4'}, 'end': {'addr': '10.0.0.9', 'type': 'V4'}}},"
	  " {'range': {'begin': {'addr': '10.0.0.9', 'type': 'V4'}, 'end': {'addr': '10.0.0.19', 'type': 'V4'}}}]}]}",
	  "configured_subnets[0].static_ip_ranges[1].range: Overlaps static_ip_ranges[0]." },
	{ "role",
	  "{'name': 'r', 'privileges': [{'resource': 'PERMISSION_POOL', 'type': 'READ_ACCESS'}, {'resource': 'P"
	  "ERMISSION_POOL', 'type': 'WRITE_ACCESS'}]}",
	  "privileges[1].resource: PERMISSION_POOL is that of privileges[0] already." },
	{ "vrfcontext",
	  "{'name': 'v', 'gateway_mon': [{'gateway_ip': {'addr': 'a.b', 'type': 'DNS'}}]}",
	  "gateway_mon[0].gateway_ip.type: A gateway has an address, not a name." },
	{ "vrfcontext",
	  "{'name': 'v', 'static_routes': [{'route_id': '1', 'prefix': {'ip_addr': {'addr': '10.0.0.0', 'type':"
	  " 'V4'}, 'mask': 8}, 'next_hop': {'addr': 'a.b', 'type': 'DNS'}}]}",
	  "static_routes[0].next_hop.type: A gateway has" },
	{ "pool",
	  "{'name': 'p', 'servers': [{'ip': {'addr': '0.0.0.0', 'type': 'V4'}}]}",
	  "servers[0].ip.addr: 0.0.0.0 is not the address of a server." },
	{ "pool",
	  "{'name': 'p', 'servers': [{'ip': {'addr': 'ff02::1', 'type': 'V6'}}]}",
	  "servers[0].ip.addr: ff02::1 is not the address of a server." },
	{ "vsvip",
	  "{'name': 'v', 'vip': [{'ip_address': {'addr': '224.0.0.9', 'type': 'V4'}}]}",
	  "vip[0].ip_address.addr: Clients cannot reach a service at 224.0.0.9." },
	{ "vsvip",
	  "{'name': 'v', 'vip': [{'ip6_address': {'addr': '::1', 'type': 'V6'}}]}",
	  "vip[0].ip6_address.addr: Clients cannot reach a service at ::1." },
	{ "pool", "{'name': 'p', 'lb_algorithm': 'LB_ALGORITHM_CONSISTENT_HASH',"
	  " 'lb_algorithm_hash': 'LB_ALGORITHM_CONSISTENT_HASH_CUSTOM_HEADER'}",
	  "lb_algorithm_consistent_hash_hdr: LB_ALGORITHM_CONSISTENT_HASH_CUSTOM_HEADER wants to know which header." },
	{ "pool", "{'name': 'p', 'fail_action': {'type': 'FAIL_ACTION_HTTP_REDIRECT'}}",
	  "fail_action.redirect: FAIL_ACTION_HTTP_REDIRECT wants to know where to." },
	{ "applicationprofile",
	  "{'name': 'p', 'type': 'APPLICATION_PROFILE_TYPE_HTTP', 'http_profile': {'xff_alternate_name': 'a: b'"
	  "}}",
	  "http_profile.xff_alternate_name: \"a: b\" is not the name of a header." },
	{ "applicationpersistenceprofile",
	  "{'name': 'p', 'persistence_type': 'PERSISTENCE_TYPE_HTTP_COOKIE', 'http_cookie_persistence_profile':"
	  " {'cookie_name': 'a;b'}}",
	  "http_cookie_persistence_profile.cookie_name: \"a;b\" is not the name of a cookie." },
	{ "ipaddrgroup",
	  "{'name': 'g', 'ip_ports': [{'port': 80}]}",
	  "ip_ports[0].ip: A server needs an address." },
	{ "virtualservice", "{'name': 'v', 'performance_limits': {'max_throughput': -5}}",
	  "performance_limits.max_throughput: Must not be negative." },
	{ "virtualservice", "{'name': 'v', 'performance_limits': {'max_concurrent_connections': -1}}",
	  "performance_limits.max_concurrent_connections: Must not be negative." },
	{ "virtualservice", "{'name': 'v', 'connections_rate_limit': {'action': {'type': 'RL_ACTION_LOCAL_RSP'}}}",
	  "connections_rate_limit.action.type: Connections are not answered" },
	{ "virtualservice", "{'name': 'v', 'requests_rate_limit': {'action': {'type': 'RL_ACTION_RESET_CONN'}}}",
	  "requests_rate_limit.action.type: Requests are answered" },
	{ "networksecuritypolicy",
	  "{'name': 'p', 'rules': [{'name': 'r', 'index': 1, 'enable': true, 'match': {},"
	  " 'action': 'NETWORK_SECURITY_POLICY_ACTION_TYPE_RATE_LIMIT'}]}",
	  "rules[0].rl_param: The action RATE_LIMIT needs a rate." },
	{ "virtualservice", "{'name': 'v', 'max_cps_per_client': 5}", "max_cps_per_client: 5 is out of range" },
	{ "virtualservice", "{'name': 'v', 'type': 'VS_TYPE_VH_PARENT'}", "type: VS_TYPE_VH_PARENT is not built yet" },
	{ "vsvip", "{'name': 'v', 'vip': [{'vip_id': '1'}]}", "vip[0]: An address is needed" },
	{ "vsvip", "{'name': 'v', 'vip': [{'auto_allocate_ip_type': 'V5_ONLY'}]}", "vip[0].auto_allocate_ip_type" },
	{ "vsvip", "{'name': 'v', 'vip': [{'ip_address': {'addr': 'fd00::1', 'type': 'V6'}}]}",
	  "vip[0].ip_address.type: Must be V4." },
	{ "vsvip", "{'name': 'v', 'vip': [{'ip_address': {'addr': '1.1.1.1', 'type': 'V4'}},"
		   " {'ip_address': {'addr': '1.1.1.2', 'type': 'V4'}}]}", "vip[1]: Is the same as item 0 of the list." },
	{ "healthmonitor", "{'name': 'h', 'type': 'HEALTH_MONITOR_TCP', 'send_interval': 4}",
	  "receive_timeout: 4 must be less than send_interval, which is 4." },
	{ "healthmonitor", "{'name': 'h', 'type': 'HEALTH_MONITOR_TCP', 'tcp_monitor': {'tcp_half_open': true,"
	  " 'tcp_request': 'hi'}}", "tcp_monitor.tcp_request: A half-open check says and hears nothing." },
	{ "healthmonitor", "{'name': 'h', 'type': 'HEALTH_MONITOR_DNS'}", "dns_monitor: A DNS monitor needs the name" },
	{ "healthmonitor", "{'name': 'h', 'type': 'HEALTH_MONITOR_DNS', 'dns_monitor': {'query_name': 'a..b'}}",
	  "dns_monitor.query_name: \"a..b\" is not a name" },
	{ "healthmonitor", "{'name': 'h', 'type': 'HEALTH_MONITOR_DNS', 'dns_monitor': {'query_name': 'a.b',"
	  " 'response_string': 'fd00::1'}}", "dns_monitor.response_string: \"fd00::1\" is not an IPv4 address." },
	{ "healthmonitor", "{'name': 'h', 'type': 'HEALTH_MONITOR_HTTP', 'http_monitor': {'http_response_code': ['HTTP_2XX'],"
	  " 'auth_type': 'AUTH_BASIC'}}", "http_monitor.auth_type: It needs authentication" },
	{ "healthmonitor", "{'name': 'h', 'type': 'HEALTH_MONITOR_HTTP', 'http_monitor': {'http_response_code': []}}",
	  "http_monitor.http_response_code: 0 items are too few: at least 1." },
	{ "healthmonitor", "{'name': 'h', 'type': 'HEALTH_MONITOR_HTTP', 'http_monitor':"
			   " {'maintenance_code': [503, 504, 505, 506, 507]}}",
	  "http_monitor.maintenance_code: 5 items are too many: at most 4." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'mac': '02:00:00:00:00'}]}",
	  "clone_servers[0].mac: \"02:00:00:00:00\" is not a MAC address" },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'mac': '02:00:00:00:00:01:02'}]}",
	  "clone_servers[0].mac: 20 bytes are too long: at most 17." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{}]}",
	  "clone_servers[0]: A receiver needs ip_address or mac." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'network_ref': '/api/network?name=n'}]}",
	  "clone_servers[0]: A receiver needs ip_address or mac." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'mac': '02:00:00:00:00:01'}]}",
	  "clone_servers[0].mac: A MAC address alone does not say which interface" },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'mac': 'ff:ff:ff:ff:ff:ff', 'subnet': {'ip_addr': "
	  "{'addr': '10.0.0.0', 'type': 'V4'}, 'mask': 24}}]}",
	  "clone_servers[0].mac: ff:ff:ff:ff:ff:ff is that of a group or of everybody" },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'mac': '01:00:5e:00:00:01', 'subnet': {'ip_addr': "
	  "{'addr': '10.0.0.0', 'type': 'V4'}, 'mask': 24}}]}",
	  "clone_servers[0].mac: 01:00:5e:00:00:01 is that of a group" },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'mac': '00:00:00:00:00:00', 'subnet': {'ip_addr': "
	  "{'addr': '10.0.0.0', 'type': 'V4'}, 'mask': 24}}]}",
	  "clone_servers[0].mac: 00:00:00:00:00:00 is nobody's." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': 'ids.example', 'type': 'DNS'}}]}",
	  "clone_servers[0].ip_address.type: A receiver has an address, not a name." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '224.0.0.1', 'type': 'V4'}}]}",
	  "clone_servers[0].ip_address.addr: 224.0.0.1 is not the address of a host" },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '255.255.255.255', 'type': "
	  "'V4'}}]}",
	  "clone_servers[0].ip_address.addr: 255.255.255.255 is not the address of a host" },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '0.0.0.0', 'type': 'V4'}}]}",
	  "clone_servers[0].ip_address.addr: 0.0.0.0 is not the address of a host" },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': 'ff02::1', 'type': 'V6'}}]}",
	  "clone_servers[0].ip_address.addr: ff02::1 is not the address of a host" },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '::1', 'type': 'V6'}}]}",
	  "clone_servers[0].ip_address.addr: ::1 is not the address of a host" },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '10.0.0.7', 'type': 'V4'}, "
	  "'subnet': {'ip_addr': {'addr': 'fd00::', 'type': 'V6'}, 'mask': 64}}]}",
	  "clone_servers[0].subnet: 10.0.0.7 and this subnet are not of one family." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '10.0.1.7', 'type': 'V4'}, "
	  "'subnet': {'ip_addr': {'addr': '10.0.0.0', 'type': 'V4'}, 'mask': 24}}]}",
	  "clone_servers[0].ip_address.addr: 10.0.1.7 is not in its subnet, 10.0.0.0/24." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '10.0.0.255', 'type': 'V4'}, "
	  "'subnet': {'ip_addr': {'addr': '10.0.0.0', 'type': 'V4'}, 'mask': 24}}]}",
	  "clone_servers[0].ip_address.addr: 10.0.0.255 is not the address of one host in 10.0.0.0/24." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '10.0.0.7', 'type': 'V4'}}, "
	  "{'ip_address': {'addr': '10.0.0.8', 'type': 'V4'}}, {'ip_address': {'addr': '10.0.0.7', "
	  "'type': 'V4'}, 'mac': '02:00:00:00:00:01'}]}",
	  "clone_servers[2]: Is the same receiver as clone_servers[0]." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': 'fd00::7', 'type': 'V6'}}, "
	  "{'ip_address': {'addr': 'fd00:0::07', 'type': 'V6'}, 'encapsulation': {'type': "
	  "'CLONE_ENCAP_GRE'}}]}",
	  "clone_servers[1]: Is the same receiver as clone_servers[0]." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '10.0.0.7', 'type': 'V4'}, "
	  "'mac': '02:00:00:00:00:0a'}, {'ip_address': {'addr': '10.0.0.8', 'type': 'V4'}, 'mac': "
	  "'02:00:00:00:00:0A'}]}",
	  "clone_servers[1]: Is the same receiver as clone_servers[0]." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}]}",
	  "clone_servers: 11 items are too many: at most 10." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '10.0.0.7', 'type': 'V4'}, "
	  "'encapsulation': {'type': 'CLONE_ENCAP_VXLAN', 'vni': 16777216}}]}",
	  "clone_servers[0].encapsulation.vni: 16777216 is out of range: 0 to 16777215." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '10.0.0.7', 'type': 'V4'}, "
	  "'encapsulation': {'type': 'CLONE_ENCAP_GRE', 'vni': 5}}]}",
	  "clone_servers[0].encapsulation.vni: It is a field of CLONE_ENCAP_VXLAN, CLONE_ENCAP_GENEVE; the type is CLONE_ENCAP_GRE." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '10.0.0.7', 'type': 'V4'}, "
	  "'encapsulation': {'type': 'CLONE_ENCAP_ERSPAN_II', 'port': 5}}]}",
	  "clone_servers[0].encapsulation.port: It is a field of CLONE_ENCAP_VXLAN" },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '10.0.0.7', 'type': 'V4'}, "
	  "'encapsulation': {'type': 'CLONE_ENCAP_VXLAN', 'session_id': 5}}]}",
	  "clone_servers[0].encapsulation.session_id: It is a field of CLONE_ENCAP_ERSPAN_II" },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '10.0.0.7', 'type': 'V4'}, "
	  "'encapsulation': {'type': 'CLONE_ENCAP_ERSPAN_III', 'session_id': 1024}}]}",
	  "clone_servers[0].encapsulation.session_id: 1024 is out of range: 0 to 1023." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '10.0.0.7', 'type': 'V4'}, "
	  "'encapsulation': {'type': 'CLONE_ENCAP_NONE', 'key': 0}}]}",
	  "clone_servers[0].encapsulation.key: It is a field of CLONE_ENCAP_GRE; the type is CLONE_ENCAP_NONE." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'mac': '02:00:00:00:00:01', 'subnet': {'ip_addr': "
	  "{'addr': '10.0.0.0', 'type': 'V4'}, 'mask': 24}, 'encapsulation': {'type': "
	  "'CLONE_ENCAP_GRE'}}]}",
	  "clone_servers[0].encapsulation.type: CLONE_ENCAP_GRE needs ip_address" },
	{ "trafficcloneprofile", "{'name': 't', 'filter': {'sample_percent': 0}}",
	  "filter.sample_percent: 0 is out of range: 1 to 100" },
	{ "trafficcloneprofile", "{'name': 't', 'filter': {'sample_percent': 101}}",
	  "filter.sample_percent: 101 is out of range: 1 to 100" },
	{ "trafficcloneprofile", "{'name': 't', 'filter': {'client_prefixes': [{'ip_addr': {'addr': '10.0.0.0', 'type': "
	  "'V4'}, 'mask': 33}]}}",
	  "filter.client_prefixes[0].mask: 33 is out of range" },
	{ "trafficcloneprofile", "{'name': 't', 'payload': 'CLONE_DECRYPTED', 'filter': {'hosts': ['a b']}}",
	  "filter.hosts[0]: \"a b\" is not the name of a host" },
	{ "trafficcloneprofile", "{'name': 't', 'payload': 'CLONE_DECRYPTED', 'filter': {'hosts': ['a.example', "
	  "'A.example']}}",
	  "filter.hosts[1]: Is the same as item 0 of the list." },
	{ "trafficcloneprofile", "{'name': 't', 'payload': 'CLONE_DECRYPTED', 'filter': {'path_prefixes': ['x']}}",
	  "filter.path_prefixes[0]: \"x\" does not begin with a slash." },
	{ "trafficcloneprofile", "{'name': 't', 'payload': 'CLONE_DECRYPTED', 'filter': {'path_prefixes': ['/x?y']}}",
	  "filter.path_prefixes[0]: A path has no blanks" },
	{ "trafficcloneprofile", "{'name': 't', 'filter': {'hosts': ['a.example']}}",
	  "filter.hosts: It needs payload CLONE_DECRYPTED" },
	{ "trafficcloneprofile", "{'name': 't', 'filter': {'path_prefixes': ['/a']}}",
	  "filter.path_prefixes: It needs payload CLONE_DECRYPTED" },
	{ "trafficcloneprofile", "{'name': 't', 'masked_headers': ['Cookie']}",
	  "masked_headers: It needs payload CLONE_DECRYPTED" },
	{ "trafficcloneprofile", "{'name': 't', 'decrypted_port': 8080}",
	  "decrypted_port: It needs payload CLONE_DECRYPTED" },
	{ "trafficcloneprofile", "{'name': 't', 'marker_mac': '02:00:00:00:00:01'}",
	  "marker_mac: It needs payload CLONE_DECRYPTED" },
	{ "trafficcloneprofile", "{'name': 't', 'flow_log': {'type': 'CLONE_LOG_FILE', 'file_name': 'a'}}",
	  "flow_log: It needs payload CLONE_DECRYPTED" },
	{ "trafficcloneprofile", "{'name': 't', 'payload': 'CLONE_DECRYPTED', 'marker_mac': '03:00:00:00:00:01'}",
	  "marker_mac: 03:00:00:00:00:01 is that of a group" },
	{ "trafficcloneprofile", "{'name': 't', 'payload': 'CLONE_DECRYPTED', 'marker_mac': '02:00:00:00:00:0A', 'clone_servers': "
				 "[{'ip_address': {'addr': '10.0.0.7', 'type': 'V4'}, 'mac': '02:00:00:00:00:0a'}]}",
	  "marker_mac: Is that of clone_servers[0]: copies would not find it." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '127.0.0.1', 'type': 'V4'}}]}",
	  "clone_servers[0].ip_address.addr: 127.0.0.1 is not the address of a host" },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '10.0.0.7', 'type': 'V4'}, "
				 "'encapsulation': {'type': 'CLONE_ENCAP_VXLAN', 'port': 65536}}]}",
	  "clone_servers[0].encapsulation.port: 65536 is out of range: 0 to 65535." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '10.0.0.7', 'type': 'V4'}, "
				 "'encapsulation': {'type': 'CLONE_ENCAP_GRE', 'key': 4294967296}}]}",
	  "clone_servers[0].encapsulation.key: 4294967296 is out of range" },
	{ "trafficcloneprofile", "{'name': 't', 'payload': 'CLONE_DECRYPTED', 'masked_headers': "
				 "['x234567890123456789012345678901234567890123456789012345678901234567890']}",
	  "masked_headers[0]: 70 bytes are too long: at most 64." },
	{ "trafficcloneprofile", "{'name': 't', 'payload': 'CLONE_DECRYPTED', 'masked_headers': ['a', 'a', 'a', 'a', 'a', 'a', 'a', "
				 "'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', "
				 "'a', 'a', 'a', 'a', 'a', 'a', 'a']}",
	  "masked_headers: 33 items are too many: at most 32." },
	{ "trafficcloneprofile", "{'name': 't', 'decrypted_port': 65536, 'payload': 'CLONE_DECRYPTED'}",
	  "decrypted_port: 65536 is out of range: 0 to 65535." },
	{ "trafficcloneprofile", "{'name': 't', 'payload': 'CLONE_DECRYPTED', 'side': 'CLONE_SIDE_BOTH', 'masked_headers': ['Cookie']}",
	  "masked_headers: It needs side CLONE_SIDE_SERVER: what clients say is copied as it is." },
	{ "trafficcloneprofile", "{'name': 't', 'payload': 'CLONE_DECRYPTED', 'masked_headers': ['a:b']}",
	  "masked_headers[0]: \"a:b\" is not the name of a header." },
	{ "trafficcloneprofile", "{'name': 't', 'payload': 'CLONE_DECRYPTED', 'masked_headers': ['Cookie', 'cookie']}",
	  "masked_headers[1]: Is the same as item 0 of the list." },
	{ "trafficcloneprofile", "{'name': 't', 'max_packets_per_second': 5}",
	  "max_packets_per_second: 5 is out of range: 20 to 1000000000, or 0." },
	{ "trafficcloneprofile", "{'name': 't', 'max_bits_per_second': 1000}",
	  "max_bits_per_second: 1000 is out of range: 64000 to 1000000000000, or 0." },
	{ "trafficcloneprofile", "{'name': 't', 'payload': 'CLONE_DECRYPTED', 'flow_log': {'type': 'CLONE_LOG_UDP', "
	  "'port': 5}}",
	  "flow_log.ip_address: CLONE_LOG_UDP needs the address of a collector." },
	{ "trafficcloneprofile", "{'name': 't', 'payload': 'CLONE_DECRYPTED', 'flow_log': {'type': 'CLONE_LOG_UDP', "
	  "'ip_address': {'addr': '10.0.0.7', 'type': 'V4'}}}",
	  "flow_log.port: CLONE_LOG_UDP needs the port of the collector." },
	{ "trafficcloneprofile", "{'name': 't', 'payload': 'CLONE_DECRYPTED', 'flow_log': {'type': 'CLONE_LOG_FILE', "
	  "'file_name': '../x'}}",
	  "flow_log.file_name: A name has letters" },
	{ "trafficcloneprofile", "{'name': 't', 'payload': 'CLONE_DECRYPTED', 'flow_log': {'type': 'CLONE_LOG_FILE'}}",
	  "flow_log.file_name: CLONE_LOG_FILE needs one." },
	{ "trafficcloneprofile", "{'name': 't', 'payload': 'CLONE_DECRYPTED', 'flow_log': {'type': 'CLONE_LOG_SYSLOG', "
	  "'file_name': 'x', 'ip_address': {'addr': '10.0.0.7', 'type': 'V4'}}}",
	  "flow_log.file_name: It is a field of CLONE_LOG_FILE; the type is CLONE_LOG_SYSLOG." },
	{ "applicationprofile", "{'name': 'a', 'type': 'APPLICATION_PROFILE_TYPE_HTTP', 'http_profile':"
				" {'max_rps_cip': 100}}", "http_profile.max_rps_cip: Is not built yet" },
	{ "analyticsprofile", "{'name': 'a', 'apdex_response_tolerated_factor': 0.5}",
	  "apdex_response_tolerated_factor: 0.5 is out of range: 1 to 1000." },
	{ "serviceenginegroup", "{'name': 'g', 'max_queues_per_vnic': 3}",
	  "max_queues_per_vnic: 3 is not one of 0,1,2,4,8,16." },
	{ "serviceenginegroup", "{'name': 'g', 'ha_mode': 'HA_MODE_SHARED_PAIR'}",
	  "ha_mode: HA_MODE_SHARED_PAIR is not built yet; choose HA_MODE_SHARED." },
};
/* clang-format on */

static void errors_are_one_clear_sentence(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		CLEANUP_JSON json_t *wire = quoted(refused[i].body);
		struct err e = { 0 };
		json_t *out = NULL;

		if (model_read(kind_find(refused[i].kind), wire, 0, &world, &out, NULL, &e) == 0)
			fail_msg("accepted: %s", refused[i].body);
		assert_null(out);
		if (strncmp(err_line(&e), refused[i].error, strlen(refused[i].error)) != 0)
			fail_msg("%s\nsays:  %s\nnot:   %s", refused[i].body, err_line(&e),
				 refused[i].error);
		/* Nobody has to want the text. */
		assert_true(model_read(kind_find(refused[i].kind), wire, 0, &world, &out, NULL,
				       NULL) < 0);
	}
}

static void unknown_fields_are_dropped_or_refused(void **state)
{
	CLEANUP_JSON json_t *wire = quoted(
		"{'name': 'p', 'ignore_servers': true, 'serverz': [], 'servers':"
		" [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'prot': 1}]}");
	struct model_notes notes = MODEL_NOTES_INIT;
	struct err e = { 0 };
	json_t *out = NULL;

	(void)state;
	assert_int_equal(model_read(kind_find("pool"), wire, 0, &world, &out, &notes, &e), 0);
	assert_json(out, "{'name': 'p', 'cloud_ref': '/api/cloud/cloud-Default-Cloud',"
			 " 'servers': [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}}]}");
	assert_string_equal(buf_cstr(&notes.ignored), "ignore_servers,serverz,servers[0].prot");
	json_decref(out);
	model_notes_fini(&notes);

	json_object_del(wire, "ignore_servers");
	assert_int_equal(model_read(kind_find("pool"), wire, MODEL_STRICT, &world, &out, NULL, &e),
			 -EINVAL);
	assert_string_equal(err_line(&e), "serverz: Is not a field of Pool; did you mean servers?");
}

static void inert_fields_are_named(void **state)
{
	CLEANUP_JSON json_t *wire = quoted(
		"{'name': 'p', 'capacity_estimation': true, 'ignore_server_port': false,"
		" 'description': 'd', 'analytics_policy': {'enable_realtime_metrics': true},"
		" 'http2_properties': {'max_http2_header_field_size': 4096}, 'servers':"
		" [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'verify_network': true}]}");
	struct model_notes notes = MODEL_NOTES_INIT;
	struct err e = { 0 };
	json_t *out = NULL;

	(void)state;
	assert_int_equal(model_read(kind_find("pool"), wire, 0, &world, &out, &notes, &e), 0);
	assert_string_equal(buf_cstr(&notes.inert),
			    "capacity_estimation,analytics_policy,servers[0].verify_network");
	assert_int_equal(notes.ignored.len, 0);
	json_decref(out);
	model_notes_fini(&notes);
}

static void notes_do_not_grow_without_end(void **state)
{
	CLEANUP_JSON json_t *wire = json_pack("{s:s}", "name", "p");
	struct model_notes notes = MODEL_NOTES_INIT;
	json_t *out = NULL;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		char key[32];

		snprintf(key, sizeof(key), "unknown_%d", i);
		json_object_set_new(wire, key, json_true());
	}
	assert_int_equal(model_read(kind_find("pool"), wire, 0, &world, &out, &notes, NULL), 0);
	assert_true(notes.ignored.len < 2200);
	assert_string_equal(buf_cstr(&notes.ignored) + notes.ignored.len - 4, ",...");
	json_decref(out);
	model_notes_fini(&notes);
}

/* Names and values are a stranger's; they end in headers, logs and on screens. */
static void strangers_text_is_harmless(void **state)
{
	CLEANUP_JSON json_t *wire = json_pack("{s:s, s:i}", "name", "p",
					      "a\r\nSet-Cookie: x,\xc3\xa4", 1);
	CLEANUP_JSON json_t *bad = json_pack("{s:s, s:s}", "name", "p", "enabled",
					     "\xc3\xa4\n\x1b[2J");
	struct model_notes notes = MODEL_NOTES_INIT;
	struct err e = { 0 };
	json_t *out = NULL;

	(void)state;
	assert_int_equal(model_read(kind_find("pool"), wire, 0, &world, &out, &notes, &e), 0);
	assert_string_equal(buf_cstr(&notes.ignored), "a??Set-Cookie:?x???");
	json_decref(out);
	model_notes_fini(&notes);
	assert_int_equal(model_read(kind_find("pool"), bad, 0, &world, &out, NULL, &e), -EINVAL);
	assert_string_equal(e.text, "Must be true or false, not \"\xc3\xa4??[2J\".");
}

/* ---- what is accepted ------------------------------------------------- */

static void old_and_loose_forms_are_read(void **state)
{
	CLEANUP_JSON json_t *pool = stored_form(
		"pool",
		"{'name': 'p', 'url': 'https://x/api/pool/p', '_last_modified': '17', 'enabled': 'True',"
		" 'default_server_port': '8080', 'vrf_ref': '', 'health_monitor_refs':"
		" ['https://any/api/healthmonitor/healthmonitor-a#a', '/api/healthmonitor?name=b', 'healthmonitor-c']}");
	CLEANUP_JSON json_t *hm = stored_form(
		"healthmonitor", "{'name': 'h', 'type': 'HEALTH_MONITOR_HTTP', 'http_monitor':"
				 " {'http_response_code': [{'code': 'HTTP_2XX'}, 'HTTP_3XX']}}");
	CLEANUP_JSON json_t *vip = stored_form(
		"vsvip", "{'name': 'v', 'vip': [{'ip_address': {'addr': '1.1.1.1', 'type': 'V4'}},"
			 " {'vip_id': 7, 'ip_address': {'addr': '1.1.1.2', 'type': 'V4'}}]}");

	(void)state;
	assert_json(
		pool,
		"{'name': 'p', 'enabled': true, 'default_server_port': 8080, 'cloud_ref':"
		" '/api/cloud/cloud-Default-Cloud', 'health_monitor_refs': ['/api/healthmonitor/healthmonitor-a',"
		" '/api/healthmonitor/healthmonitor-b', '/api/healthmonitor/healthmonitor-c']}");
	assert_json(json_object_get(hm, "http_monitor"),
		    "{'http_response_code': ['HTTP_2XX', 'HTTP_3XX']}");
	assert_string_equal(json_str(json_array_get(json_object_get(vip, "vip"), 0), "vip_id", ""),
			    "0");
	assert_string_equal(json_str(json_array_get(json_object_get(vip, "vip"), 1), "vip_id", ""),
			    "7");
}

static void answers_have_defaults_and_references(void **state)
{
	const struct model_write plain = { .base_url = "https://h:1" };
	const struct model_write named = { .base_url = "https://h:1",
					   .include_name = true,
					   .name_in_url = true };
	const struct model_write sparse = { .base_url = "https://h:1", .skip_default = true };
	CLEANUP_JSON json_t *stored = stored_form(
		"pool",
		"{'name': 'p', 'default_server_port': 80, 'servers':"
		" [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 81}], 'lookup_server_by_name': true}");
	CLEANUP_JSON json_t *a = NULL, *b = NULL, *c = NULL;
	const json_t *server;

	(void)state;
	json_object_set_new(stored, "uuid", json_string("pool-1"));
	a = model_write(kind_find("pool"), stored, &plain, &world);
	assert_string_equal(json_str(a, "url", ""), "https://h:1/api/pool/pool-1");
	assert_string_equal(json_str(a, "cloud_ref", ""),
			    "https://h:1/api/cloud/cloud-Default-Cloud");
	assert_int_equal(json_int(a, "connection_ramp_duration", 0), 10);
	assert_string_equal(json_str(a, "lb_algorithm", ""), "LB_ALGORITHM_LEAST_CONNECTIONS");
	assert_null(json_object_get(a, "fail_action"));
	server = json_array_get(json_object_get(a, "servers"), 0);
	assert_string_equal(json_str(server, "hostname", ""), "10.0.0.1");
	assert_int_equal(json_int(server, "ratio", 0), 1);

	b = model_write(kind_find("pool"), stored, &named, &world);
	assert_string_equal(json_str(b, "url", ""), "https://h:1/api/pool/pool-1#p");
	assert_string_equal(json_str(b, "cloud_ref", ""),
			    "https://h:1/api/cloud/cloud-Default-Cloud#Default-Cloud");

	c = model_write(kind_find("pool"), stored, &sparse, &world);
	assert_json(
		c,
		"{'url': 'https://h:1/api/pool/pool-1', 'uuid': 'pool-1', 'name': 'p', 'cloud_ref':"
		" 'https://h:1/api/cloud/cloud-Default-Cloud', 'lookup_server_by_name': true,"
		" 'servers': [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 81}]}");
}

static void a_range_ends_where_it_begins(void **state)
{
	const struct model_write plain = { .base_url = "" };
	CLEANUP_JSON json_t *stored = stored_form(
		"virtualservice",
		"{'name': 'v', 'services': [{'port': 80}, {'port': 81, 'port_range_end': 0}, {'port': 90, 'port_range_end': 99}]}");
	CLEANUP_JSON json_t *out = model_write(kind_find("virtualservice"), stored, &plain, &world);
	const json_t *services = json_object_get(out, "services");
	struct arena arena = ARENA_INIT;
	const struct virtual_service *vs = model_load(&virtual_service_message, stored, &arena);
	const int64_t want[] = { 80, 81, 99 };

	(void)state;
	assert_int_equal(vs->services_n, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(json_int(json_array_get(services, i), "port_range_end", -1),
				 want[i]);
		assert_int_equal(vs->services[i].port_range_end, want[i]);
	}
	arena_fini(&arena);
}

/* 1, 0, or what refused the filter. */
static int fits(const struct kind_desc *k, const json_t *stored, const char *field,
		const char *value, struct err *e)
{
	struct model_filter *f;
	int rc = model_filter_new(k, field, value, &f, e);

	if (rc < 0)
		return rc;
	rc = model_filter_fits(f, stored, &world);
	model_filter_free(f);
	return rc;
}

static void secrets_stay_here(void **state)
{
	const struct model_write plain = { .base_url = "" };
	const struct kind_desc *user = kind_find("user");
	CLEANUP_JSON json_t *old = stored_form("user", "{'name': 'u', 'password': 'geheim'}");
	CLEANUP_JSON json_t *out = model_write(user, old, &plain, &world);
	CLEANUP_JSON json_t *fresh = NULL;
	struct err e = { 0 };

	(void)state;
	assert_string_equal(json_str(out, "password", ""), "<sensitive>");
	assert_int_equal(fits(user, old, "password", "geheim", NULL), 0);
	assert_int_equal(fits(user, old, "password.ne", "geheim", NULL), 0);
	assert_int_equal(model_read(user, out, 0, &world, &fresh, NULL, &e), 0);
	assert_int_equal(model_replace(user, old, fresh, &e), 0);
	assert_string_equal(json_str(fresh, "password", ""), "geheim");
	/* A mask is no secret. */
	json_object_set_new(fresh, "password", json_string("<sensitive>"));
	assert_int_equal(model_replace(user, NULL, fresh, &e), 0);
	assert_null(json_object_get(fresh, "password"));
}

static void fixed_fields_stay(void **state)
{
	const struct kind_desc *hm = kind_find("healthmonitor"), *vsvip = kind_find("vsvip");
	CLEANUP_JSON json_t *old = stored_form("healthmonitor",
					       "{'name': 'h', 'type': 'HEALTH_MONITOR_TCP'}");
	CLEANUP_JSON json_t *fresh = stored_form("healthmonitor",
						 "{'name': 'h', 'type': 'HEALTH_MONITOR_HTTP'}");
	CLEANUP_JSON json_t *a = stored_form(
		"vsvip",
		"{'name': 'v', 'vip': [{'vip_id': '1', 'ip_address': {'addr': '1.1.1.1', 'type': 'V4'}}]}");
	CLEANUP_JSON json_t *b = stored_form(
		"vsvip",
		"{'name': 'v', 'vip': [{'vip_id': '2', 'ip_address': {'addr': '1.1.1.1', 'type': 'V4'}}]}");
	struct err e = { 0 };

	(void)state;
	assert_int_equal(model_replace(hm, old, fresh, &e), -EINVAL);
	assert_string_equal(err_line(&e), "type: Is fixed after creation.");
	assert_int_equal(model_replace(vsvip, a, b, &e), -EINVAL);
	assert_string_equal(e.text, "Changing an existing VIP's vip_id is not supported.");
	assert_int_equal(model_replace(vsvip, a, a, &e), 0);
}

/* Profiles of protocols that are not built may be stored, so that they can be referred to; using them is refused. */
static void later_is_said(void **state)
{
	CLEANUP_JSON json_t *udp = stored_form(
		"networkprofile",
		"{'name': 'n', 'profile': {'type': 'PROTOCOL_TYPE_UDP_PROXY', 'udp_proxy_profile': {}}}");
	CLEANUP_JSON json_t *no_snat = stored_form(
		"networkprofile", "{'name': 'n', 'profile': {'type': 'PROTOCOL_TYPE_UDP_FAST_PATH',"
				  " 'udp_fast_path_profile': {'snat': false}}}");
	CLEANUP_JSON json_t *tcp = stored_form("networkprofile", "{'name': 'n', 'profile': {}}");
	CLEANUP_JSON json_t *wire = quoted(
		"{'name': 'a', 'type': 'APPLICATION_PROFILE_TYPE_HTTP', 'http_profile':"
		" {'max_rps_cip': 100}}");
	CLEANUP_JSON json_t *app = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(model_later(kind_find("networkprofile"), udp, &e), -EINVAL);
	assert_string_equal(err_line(&e),
			    "profile.type: PROTOCOL_TYPE_UDP_PROXY is not built yet; built: PROTOCOL_TYPE_TCP_PROXY,"
			    " PROTOCOL_TYPE_TCP_FAST_PATH, PROTOCOL_TYPE_UDP_FAST_PATH.");
	assert_int_equal(model_later(kind_find("networkprofile"), no_snat, &e), -EINVAL);
	assert_string_equal(e.path, "profile.udp_fast_path_profile.snat");
	assert_int_equal(model_later(kind_find("networkprofile"), tcp, &e), 0);
	assert_json(json_object_get(tcp, "profile"), "{'type': 'PROTOCOL_TYPE_TCP_PROXY'}");
	assert_int_equal(model_read(kind_find("applicationprofile"), wire, MODEL_ALLOW_LATER,
				    &world, &app, NULL, &e),
			 0);
	assert_int_equal(model_later(kind_find("applicationprofile"), app, &e), -EINVAL);
	assert_string_equal(e.path, "http_profile.max_rps_cip");
}

/* ---- PATCH ------------------------------------------------------------ */

static const char pool_of_two[] =
	"{'name': 'p', 'min_servers_up': 1, 'servers':"
	" [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 80, 'ratio': 2}, {'ip': {'addr': '10.0.0.2', 'type': 'V4'}}]}";

/* clang-format off */
static const struct {
	const char *patch, *servers; /* SERVERS as they are afterwards; NULL: gone */
} server_patches[] = {
	{ "{'add': {'servers': [{'ip': {'addr': '10.0.0.3', 'type': 'V4'}}]}}",
	  "[{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 80, 'ratio': 2}, {'ip': {'addr': '10.0.0.2', 'type': 'V4'}},"
	  " {'ip': {'addr': '10.0.0.3', 'type': 'V4'}}]" },
	{ "{'add': {'servers': [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': '80', 'enabled': false}]}}",
	  "[{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 80, 'enabled': false},"
	  " {'ip': {'addr': '10.0.0.2', 'type': 'V4'}}]" },
	{ "{'replace': {'servers': [{'ip': {'addr': '10.0.0.9', 'type': 'V4'}}]}}",
	  "[{'ip': {'addr': '10.0.0.9', 'type': 'V4'}}]" },
	{ "{'delete': {'servers': [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 80}]}}",
	  "[{'ip': {'addr': '10.0.0.2', 'type': 'V4'}}]" },
	{ "{'delete': {'servers': [{'ip': {'addr': '10.0.0.2', 'type': 'V4'}, 'port': 0},"
	  " {'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 80}]}}", NULL },
	{ "{'add': {'name': 'p', 'cloud_ref': '/api/cloud?name=Default-Cloud', 'servers':"
	  " [{'ip': {'addr': '10.0.0.2', 'type': 'V4'}, 'ratio': 3}]}}",
	  "[{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 80, 'ratio': 2},"
	  " {'ip': {'addr': '10.0.0.2', 'type': 'V4'}, 'ratio': 3}]" },
};
/* clang-format on */

static json_t *patched(const char *kind, const json_t *stored, const char *patch, struct err *e)
{
	CLEANUP_JSON json_t *p = quoted(patch);
	json_t *out = NULL;
	int rc = model_patch(kind_find(kind), stored, p, 0, &world, &out, NULL, e);

	assert_true((rc == 0) == (out != NULL));
	return out;
}

static void patch_goes_by_key(void **state)
{
	CLEANUP_JSON json_t *stored = stored_form("pool", pool_of_two);
	CLEANUP_JSON json_t *before = json_deep_copy(stored);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(server_patches); i++) {
		struct err e = { 0 };
		CLEANUP_JSON json_t *out = patched("pool", stored, server_patches[i].patch, &e);

		if (!out)
			fail_msg("%s: %s", server_patches[i].patch, err_line(&e));
		if (server_patches[i].servers)
			assert_json(json_object_get(out, "servers"), server_patches[i].servers);
		else
			assert_null(json_object_get(out, "servers"));
		assert_true(json_equal(stored, before)); /* the old object is the store's */
	}
}

static void patch_sets_and_unsets(void **state)
{
	CLEANUP_JSON json_t *stored = stored_form("pool", pool_of_two);
	CLEANUP_JSON json_t *a = NULL, *b = NULL;
	struct err e = { 0 };

	(void)state;
	a = patched("pool", stored,
		    "{'add': {'enabled': 'false'}, 'replace': {'default_server_port': 81},"
		    " 'delete': {'min_servers_up': 1}}",
		    &e);
	assert_non_null(a);
	assert_true(json_is_false(json_object_get(a, "enabled")));
	assert_int_equal(json_int(a, "default_server_port", 0), 81);
	assert_null(json_object_get(a, "min_servers_up"));

	b = patched(
		"pool", stored,
		"{'add': {'health_monitor_refs': ['/api/healthmonitor?name=a', '/api/healthmonitor?name=b']}}",
		&e);
	assert_json(json_object_get(b, "health_monitor_refs"),
		    "['/api/healthmonitor/healthmonitor-a', '/api/healthmonitor/healthmonitor-b']");
}

static void wrong_patches_are_refused(void **state)
{
	/* clang-format off */
	static const struct {
		const char *patch, *error;
	} wrong[] = {
		{ "{}", "A PATCH is an object with add, replace or delete." },
		{ "[]", "A PATCH is an object with add, replace or delete." },
		{ "{'ad': {}}", "ad: Is not an operation: add, replace and delete are." },
		{ "{'add': []}", "add: Must be an object of fields." },
		{ "{'add': {'enabled': 7}}", "add.enabled: Must be true or false, not a number." },
		{ "{'delete': {'name': 'p'}}", "delete.name: Is required and cannot be deleted." },
		{ "{'replace': {'servers': [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}}, {'ip': {'addr': '10.0.0.1', 'type': 'V4'}}]}}",
		  "replace.servers[1]: Is the same as item 0 of the list." },
		{ "{'add': {'routing_pool': true}}", "add.routing_pool: " },
	};
	/* clang-format on */
	CLEANUP_JSON json_t *stored = stored_form("pool", pool_of_two);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct err e = { 0 };

		assert_null(patched("pool", stored, wrong[i].patch, &e));
		if (strncmp(err_line(&e), wrong[i].error, strlen(wrong[i].error)) != 0)
			fail_msg("%s\nsays:  %s\nnot:   %s", wrong[i].patch, err_line(&e),
				 wrong[i].error);
	}
}

/* ---- questions --------------------------------------------------------- */

static void filters_match(void **state)
{
	/* clang-format off */
	static const struct {
		const char *field, *value;
		bool yes;
	} filters[] = {
		{ "name", "p", true },                      { "name", "q", false },
		{ "name.contains", "p", true },             { "name.icontains", "P", true },
		{ "name.in", "a,p,c", true },               { "name.in", "a,pp", false },
		{ "enabled", "true", true },                { "enabled", "false", false }, /* by default */
		{ "cloud_ref.name", "Default-Cloud", true }, { "cloud_ref.name", "other", false },
		{ "cloud_ref.uuid", "cloud-Default-Cloud", true },
		{ "cloud_ref", "https://h/api/cloud/cloud-Default-Cloud#Default-Cloud", true },
		{ "cloud_ref", "/api/cloud/cloud-Default", false },
		{ "servers.ip.addr", "10.0.0.2", true },    { "servers.ip.addr", "10.0.0.3", false },
		{ "servers.port", "80", true },             { "servers.hostname", "10.0.0.2", true },
		{ "min_servers_up", "1", true },            { "min_servers_up", "2", false },
		{ "min_servers_up", "1.0", true },          { "min_servers_up.in", "7,1", true },
		{ "servers.port.gt", "79", true },          { "servers.port.gt", "8080", false },
		{ "servers.port.gte", "80", true },         { "servers.port.lt", "80", false },
		{ "servers.port.lte", "80", true },         { "default_server_port.lt", "80.5", true },
		{ "name.ne", "p", false },                  { "name.ne", "q", true },
		{ "servers.ip.addr.ne", "10.0.0.2", false }, { "servers.ip.addr.ne", "10.0.0.9", true },
		{ "name.startswith", "p", true },           { "name.endswith", "pp", false },
		{ "name.exact", "p", true },                { "name.gt", "o", true },
		{ "enabled.in", "true,x", true },           { "enabled", "1", true },
		{ "enabled.ne", "False", true },            { "cloud_ref.name.in", "x,Default-Cloud", true },
		{ "cloud_ref.contains", "Default", true },  { "description", "", false },
	};
	static const struct {
		const char *field, *value, *error;
	} wrong[] = {
		{ "nope", "1", "nope: Pool has no field 'nope' to filter by." },
		{ "name.nope", "p", "name.nope: There is no operator 'nope' for name." },
		{ "name.contains.x", "p", "name.contains.x: There is no operator 'contains.x' for name." },
		{ "servers", "1", "servers: It holds a Server: name one of its fields, behind a dot." },
		{ "servers.nope", "1", "servers.nope: Server has no field 'nope' to filter by." },
		{ "servers.", "1", "servers.: It holds a Server" },
		{ ".", "1", ".: Pool has no field '' to filter by." },
		{ "min_servers_up", "many", "min_servers_up: 'many' is not a number." },
		{ "servers.port.gt", "", "servers.port.gt: '' is not a number." },
		{ "enabled", "perhaps", "enabled: 'perhaps' is neither true nor false." },
		{ "enabled.gt", "true", "enabled.gt: A boolean is true or false." },
	};
	/* clang-format on */
	CLEANUP_JSON json_t *stored = stored_form("pool", pool_of_two);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
		if (fits(kind_find("pool"), stored, filters[i].field, filters[i].value, NULL) !=
		    filters[i].yes)
			fail_msg("%s=%s", filters[i].field, filters[i].value);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct err e = { 0 };

		assert_int_equal(fits(kind_find("pool"), stored, wrong[i].field, wrong[i].value,
				      &e),
				 -EINVAL);
		if (strncmp(err_line(&e), wrong[i].error, strlen(wrong[i].error)) != 0)
			fail_msg("%s=%s\nsays:  %s\nnot:   %s", wrong[i].field, wrong[i].value,
				 err_line(&e), wrong[i].error);
	}
}

static void differences_cost_what_they_cost(void **state)
{
	/* clang-format off */
	static const struct {
		const char *kind, *old, *new, *paths;
		enum apply_class class;
	} cases[] = {
		{ "pool", "{'name': 'p', 'servers': [{'ip': {'addr': '1.1.1.1', 'type': 'V4'}}]}",
		  "{'name': 'p', 'servers': [{'ip': {'addr': '1.1.1.2', 'type': 'V4'}}]}", "servers[0].ip.addr", APPLY_NOW },
		{ "pool", "{'name': 'p'}", "{'name': 'p', 'capacity_estimation': true}", "capacity_estimation", APPLY_NONE },
		{ "virtualservice", "{'name': 'v', 'services': [{'port': 80}]}",
		  "{'name': 'v', 'services': [{'port': 81}], 'traffic_clone_profile_ref': '/api/trafficcloneprofile/t'}",
		  "services[0].port,traffic_clone_profile_ref", APPLY_REBIND },
		{ "virtualservice", "{'name': 'v'}",
		  "{'name': 'v', 'traffic_clone_profile_ref': '/api/trafficcloneprofile/t'}",
		  "traffic_clone_profile_ref", APPLY_BPF },
		{ "virtualservice", "{'name': 'v'}", "{'name': 'v'}", "", APPLY_NONE },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP_JSON json_t *a = stored_form(cases[i].kind, cases[i].old);
		CLEANUP_JSON json_t *b = stored_form(cases[i].kind, cases[i].new);
		struct buf paths = BUF_INIT;

		assert_int_equal(model_diff(kind_find(cases[i].kind), a, b, &paths),
				 cases[i].class);
		assert_string_equal(buf_cstr(&paths), cases[i].paths);
		buf_fini(&paths);
	}
}

static int collect_ref(void *arg, const char *path, const char *kind, const char *uuid)
{
	return buf_printf(arg, "%s=%s/%s ", path, kind, uuid);
}

static int stop_at_first(void *arg, const char *path, const char *kind, const char *uuid)
{
	(void)path, (void)kind, (void)uuid;
	++*(int *)arg;
	return 5;
}

static void references_are_found(void **state)
{
	CLEANUP_JSON json_t *stored = stored_form(
		"pool",
		"{'name': 'p', 'health_monitor_refs': ['/api/healthmonitor/a'], 'placement_networks': [{'network_ref':"
		" '/api/network/n', 'subnet': {'ip_addr': {'addr': '10.0.0.0', 'type': 'V4'}, 'mask': 8}}]}");
	struct buf found = BUF_INIT;
	int calls = 0;

	(void)state;
	assert_int_equal(model_refs(kind_find("pool"), stored, collect_ref, &found), 0);
	assert_non_null(strstr(buf_cstr(&found), "health_monitor_refs[0]=healthmonitor/a "));
	assert_non_null(strstr(buf_cstr(&found), "placement_networks[0].network_ref=network/n "));
	assert_non_null(strstr(buf_cstr(&found), "cloud_ref=cloud/cloud-Default-Cloud "));
	assert_int_equal(model_refs(kind_find("pool"), stored, stop_at_first, &calls), 5);
	assert_int_equal(calls, 1);
	buf_fini(&found);
}

static void structs_are_filled(void **state)
{
	CLEANUP_JSON json_t *stored = stored_form(
		"pool",
		"{'name': 'p', 'lb_algorithm': 'LB_ALGORITHM_ROUND_ROBIN', 'health_monitor_refs': ['/api/healthmonitor/a'],"
		" 'servers': [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 81, 'enabled': false},"
		" {'ip': {'addr': 'fd00::1', 'type': 'V6'}}]}");
	struct arena arena = ARENA_INIT;
	const struct pool *p = model_load(&pool_message, stored, &arena);
	const struct http_application_profile *http = model_load(&http_application_profile_message,
								 NULL, &arena);

	(void)state;
	assert_string_equal(p->name, "p");
	assert_string_equal(p->cloud_ref, "cloud-Default-Cloud");
	assert_int_equal(p->lb_algorithm, LB_ALGORITHM_ROUND_ROBIN);
	assert_true(p->enabled);
	assert_false(p->has_min_health_monitors_up);
	assert_int_equal(p->health_monitor_refs_n, 1);
	assert_string_equal(p->health_monitor_refs[0], "a");
	assert_int_equal(p->servers_n, 2);
	assert_int_equal(p->servers[0].port, 81);
	assert_true(p->servers[0].has_port);
	assert_false(p->servers[0].enabled);
	assert_false(p->servers[1].has_port);
	assert_int_equal(p->servers[1].ip->type, V6);
	assert_string_equal(p->servers[1].hostname, "fd00::1");
	assert_int_equal(p->fail_action->type, FAIL_ACTION_CLOSE_CONN);
	assert_int_equal(p->conn_pool_properties->upstream_connpool_conn_idle_tmo, 60000);
	assert_null(p->vrf_ref);
	assert_int_equal(http->keepalive_timeout, 30000);
	assert_string_equal(http->xff_alternate_name, "X-Forwarded-For");
	arena_fini(&arena);
}

/* An engine and a controller of different versions must not take each other down. */
static void objects_of_other_versions_load(void **state)
{
	CLEANUP_JSON json_t *pool = quoted(
		"{'name': 'p', 'lb_algorithm': 'LB_ALGORITHM_OF_NEXT_YEAR', 'enabled': 'no',"
		" 'default_server_port': [], 'health_monitor_refs': [7, '/api/healthmonitor/a'],"
		" 'servers': [1, {'ip': 5, 'port': 'x'}], 'conn_pool_properties': 'none'}");
	CLEANUP_JSON json_t *good = stored_form("pool", pool_of_two);
	struct arena arena = ARENA_INIT;
	const struct pool *p = model_load(&pool_message, pool, &arena);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(p->lb_algorithm, LB_ALGORITHM_LEAST_CONNECTIONS);
	assert_true(p->enabled);
	assert_int_equal(p->default_server_port, 80);
	assert_int_equal(p->health_monitor_refs_n, 1);
	assert_int_equal(p->servers_n, 1);
	assert_null(p->servers[0].ip);
	assert_null(p->servers[0].hostname);
	assert_false(p->servers[0].has_port);
	assert_non_null(p->conn_pool_properties);
	assert_int_equal(model_fits(kind_find("pool"), pool, &e), -EINVAL);
	assert_string_equal(e.path, "lb_algorithm");
	assert_int_equal(model_fits(kind_find("pool"), good, &e), 0);
	arena_fini(&arena);
}

static void nearest_is_near(void **state)
{
	static const char *const known[] = { "servers", "server_name", "enabled" };

	(void)state;
	assert_string_equal(model_nearest("sevrers", known, 3), "servers");
	assert_string_equal(model_nearest("enable", known, 3), "enabled");
	assert_null(model_nearest("zebra", known, 3));
	assert_null(model_nearest("", known, 3));
}

/* ---- size --------------------------------------------------------------- */

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double time_of_servers(int n)
{
	const struct model_write full = { .base_url = "https://h" };
	const struct kind_desc *k = kind_find("pool");
	CLEANUP_JSON json_t *wire = json_pack("{s:s, s:[]}", "name", "p", "servers");
	CLEANUP_JSON json_t *stored = NULL, *out = NULL, *patch = NULL, *after = NULL;
	struct arena arena = ARENA_INIT;
	double start;

	for (int i = 0; i < n; i++) {
		char addr[32];

		snprintf(addr, sizeof(addr), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
		json_array_append_new(json_object_get(wire, "servers"),
				      json_pack("{s:{s:s, s:s}, s:i}", "ip", "addr", addr, "type",
						"V4", "port", 80));
	}
	patch = json_pack("{s:{s:O}}", "add", "servers", json_object_get(wire, "servers"));
	start = cpu_s();
	assert_int_equal(model_read(k, wire, 0, &world, &stored, NULL, NULL), 0);
	out = model_write(k, stored, &full, &world);
	assert_int_equal(model_patch(k, stored, patch, 0, &world, &after, NULL, NULL), 0);
	assert_int_equal(model_diff(k, stored, after, NULL), APPLY_NONE);
	model_load(k->msg, stored, &arena);
	arena_fini(&arena);
	return cpu_s() - start;
}

/* Ten times the servers cost about ten times, not a hundred. The best of three, because the machine is shared. */
static void five_thousand_servers_are_not_quadratic(void **state)
{
	double few = 1e9, many = 1e9;

	(void)state;
	for (int i = 0; i < 3; i++) {
		few = fmin(few, time_of_servers(500));
		many = fmin(many, time_of_servers(5000));
	}
	print_message("500 servers %.1f ms, 5000 servers %.1f ms\n", few * 1e3, many * 1e3);
	assert_true(many < 35 * few);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_are_one_clear_sentence),
		cmocka_unit_test(unknown_fields_are_dropped_or_refused),
		cmocka_unit_test(inert_fields_are_named),
		cmocka_unit_test(notes_do_not_grow_without_end),
		cmocka_unit_test(strangers_text_is_harmless),
		cmocka_unit_test(old_and_loose_forms_are_read),
		cmocka_unit_test(answers_have_defaults_and_references),
		cmocka_unit_test(a_range_ends_where_it_begins),
		cmocka_unit_test(secrets_stay_here),
		cmocka_unit_test(fixed_fields_stay),
		cmocka_unit_test(later_is_said),
		cmocka_unit_test(patch_goes_by_key),
		cmocka_unit_test(patch_sets_and_unsets),
		cmocka_unit_test(wrong_patches_are_refused),
		cmocka_unit_test(filters_match),
		cmocka_unit_test(differences_cost_what_they_cost),
		cmocka_unit_test(references_are_found),
		cmocka_unit_test(structs_are_filled),
		cmocka_unit_test(objects_of_other_versions_load),
		cmocka_unit_test(nearest_is_near),
		cmocka_unit_test(five_thousand_servers_are_not_quadratic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
