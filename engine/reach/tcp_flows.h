/* tcp_flows - the machine's TCP connections, as the kernel tells them. */
#ifndef SPANWIRE_ENGINE_REACH_TCP_FLOWS_H
#define SPANWIRE_ENGINE_REACH_TCP_FLOWS_H

#include "base/json.h"

enum { TCP_FLOWS_SHOWN = 1000, TCP_FLOWS_LOOKED_AT = 50000 };

/*
 * {"states": {"ESTABLISHED": 12 ...}, "flows": [{"local", "remote", "state", "rtt_us", "retransmits", "send_queue",
 * "receive_queue"}], "more": true}: the first TCP_FLOWS_SHOWN; `more`: there are others. Nobody is counted beyond
 * TCP_FLOWS_LOOKED_AT, which takes a tenth of a second. New reference; on any thread.
 */
json_t *tcp_flows_json(void);

#endif
