/* What is refused, and the one sentence that says so; what is dropped or has no effect is named. */
#include "model/test_world.h"

/* clang-format off */
static const struct {
	const char *kind, *body, *error; /* the line must begin with ERROR */
} refused[] = {
	{ "pool", "[]", "The body must be an object, not a list." },
	{ "pool", "{}", "name: Is required." },
	{ "pool", "{'name': ''}", "name: Must not be empty." },
	{ "pool", "{'name': null}", "name: Is required." },
	{ "pool", "{'name': 'p', 'health_monitor_refs': [null]}", "health_monitor_refs[0]: null is not an item; leave it out." },
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
	{ "debugvirtualservice", "{'name': 'v', 'debug_ip': {'addrs': [{'addr': '10.0.0.1', 'type': 'V4'}, {'addr': 'shop.example', 'type': 'DNS'}]}}",
	  "debug_ip.addrs[1].type: Packets have addresses, not names." },
	{ "debugvirtualservice", "{'name': 'v', 'capture_filters': {'src_port': 90, 'src_port_range_end': 80}}",
	  "capture_filters.src_port_range_end: Must not lie before src_port." },
	{ "debugvirtualservice", "{'name': 'v', 'capture_filters': {'dst_port_start': 70000}}",
	  "capture_filters.dst_port_start: 70000 is out of range: 0 to 65535." },
	{ "debugvirtualservice", "{'name': 'v', 'capture_pkt_filter': {'capture_tcp_filters': [{}, {'dst_port_range': {'dst_port_end': 80}}]}}",
	  "capture_pkt_filter.capture_tcp_filters[1].dst_port_range.dst_port_end: It is the end of a range without a beginning: dst_port_start is wanted." },
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
	{ "ipaddrgroup",
	  "{'name': 'g', 'prefixes': [{'ip_addr': {'addr': '::ffff:10.0.0.0', 'type': 'V6'}, 'mask': 104}]}",
	  "prefixes[0].ip_addr.addr: ::ffff:10.0.0.0 is an IPv4 address: write it as one." },
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
	{ "cluster", "{'name': 'c', 'nodes': [{'name': 'a'}], 'virtual_ip': {'addr': '10.0.0.1', 'type': 'V4'}}",
	  "virtual_ip: Is not built yet" },
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
	{ "trafficcloneprofile", "{'name': 't', 'payload': 'CLONE_DECRYPTED', 'marker_mac': '02:53:50:57:FF:ff'}",
	  "marker_mac: Switches have to flood 02:53:50:57:ff:ff" },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': '::ffff:10.0.0.7', 'type': 'V6'}}]}",
	  "clone_servers[0].ip_address.addr: ::ffff:10.0.0.7 is an IPv4 address: write it as one." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'ip_address': {'addr': 'fe80::7', 'type': 'V6'}}]}",
	  "clone_servers[0].ip_address.addr: fe80::7 is of every interface: it does not say which." },
	{ "trafficcloneprofile", "{'name': 't', 'clone_servers': [{'mac': '02:00:00:00:00:01', 'subnet': {'ip_addr': "
	  "{'addr': '0.0.0.0', 'type': 'V4'}, 'mask': 0}}]}",
	  "clone_servers[0].subnet.mask: With 0 bits every interface is in it" },
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
	{ "systemconfiguration", "{'dns_configuration': {'search_domain': 'a.example, b..example'}}",
	  "dns_configuration.search_domain: \"b..example\" is not a domain." },
	{ "serviceenginegroup", "{'name': 'g', 'max_queues_per_vnic': 3}",
	  "max_queues_per_vnic: 3 is not one of 0,1,2,4,8,16." },
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_are_one_clear_sentence),
		cmocka_unit_test(unknown_fields_are_dropped_or_refused),
		cmocka_unit_test(inert_fields_are_named),
		cmocka_unit_test(notes_do_not_grow_without_end),
		cmocka_unit_test(strangers_text_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
