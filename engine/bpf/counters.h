/*
 * counters - what the programs in the kernel count; each line is said here only.
 *
 * GATE_COUNTER(name, unit, help)    per engine, from the lease gate and the classification
 * TARGET_COUNTER(name, unit, help)  per clone target
 *
 * The books of a target: eligible = sent + all of its dropped_... Eligible is
 * counted by the classification, dropped by the clone stage, sent by the
 * rewriter, so that the equation can fail. The unit is the frame on the
 * wire: a segment of a large send counts as one each.
 */
#ifndef GATE_COUNTER
#define GATE_COUNTER(name, unit, help)
#endif
#ifndef TARGET_COUNTER
#define TARGET_COUNTER(name, unit, help)
#endif

GATE_COUNTER(gate_arp,          "packets", "ARP that speaks for a VIP whose lease is not ours now, dropped.")
GATE_COUNTER(gate_neighbour,    "packets", "Neighbour advertisement for a VIP whose lease is not ours now, dropped.")
GATE_COUNTER(gate_out,          "packets", "Packet from a VIP whose lease is not ours now, dropped.")
GATE_COUNTER(gate_in,           "packets", "Packet to a VIP whose lease is not ours now, dropped.")
GATE_COUNTER(gate_wrong_port,   "packets", "ARP or neighbour advertisement for a VIP on another interface than its own, dropped.")
GATE_COUNTER(clone_ignored,     "packets", "What a clone server said, dropped.")
GATE_COUNTER(flow_opened,       "flows",   "Server connections entered into the flow table.")
GATE_COUNTER(flow_refused,      "flows",   "Server connections that found the flow table full.")
GATE_COUNTER(unparsed,          "packets", "TCP or UDP whose headers are too many, too short or not at their end: nobody's.")
GATE_COUNTER(fragment_unknown,  "packets", "Later fragments whose first one was not seen before them, or is forgotten: nobody's.")
GATE_COUNTER(flow_stale,        "frames",  "Frames of connections whose clone target was given to another since; not eligible.")

TARGET_COUNTER(eligible,             "frames", "Frames that are to be copied, as the classification saw them.")
TARGET_COUNTER(eligible_bytes,       "bytes",  "Their length.")
TARGET_COUNTER(sent,                 "frames", "Copies that the device took.")
TARGET_COUNTER(sent_bytes,           "bytes",  "Their length.")
TARGET_COUNTER(dropped_no_neighbour, "frames", "The clone server's MAC address is not known.")
TARGET_COUNTER(dropped_no_interface, "frames", "No interface leads to the clone server, or it went away.")
TARGET_COUNTER(dropped_link_down,    "frames", "The interface is down or has no carrier.")
TARGET_COUNTER(dropped_queue_full,   "frames", "The device's queue was full.")
TARGET_COUNTER(dropped_too_big,      "frames", "Longer than the clone interface's MTU.")
TARGET_COUNTER(dropped_memory,       "frames", "No memory for the copy.")
TARGET_COUNTER(dropped_table_full,   "frames", "Of flows that found the flow table full.")
TARGET_COUNTER(dropped_sampled_out,  "frames", "Of flows that are not in the sample.")
TARGET_COUNTER(dropped_shed,         "frames", "Of flows that came when the limit was reached, or the clone server's queue overflowed; the rest of decrypted ones that lost a frame.")
TARGET_COUNTER(dropped_ended,        "frames", "Of flows whose clone server, or profile, was taken away while they ran.")
TARGET_COUNTER(dropped_other,        "frames", "Another refusal of the kernel.")
TARGET_COUNTER(other_family,         "frames", "Sent with the engine's address: client and server differ in family.")
TARGET_COUNTER(flows_eligible,       "flows",  "Flows that were to be copied: the sum of the next four.")
TARGET_COUNTER(flows_copied,         "flows",  "Admitted to the copy.")
TARGET_COUNTER(flows_sampled_out,    "flows",  "Not in the sample.")
TARGET_COUNTER(flows_shed,           "flows",  "Came when the limit was reached, or the clone server's queue overflowed.")
TARGET_COUNTER(flows_refused,        "flows",  "Found the flow table full, or nothing could be sent to the clone server when they began.")
TARGET_COUNTER(flows_filtered,       "flows",  "Of clients that are not wanted; not eligible.")
TARGET_COUNTER(flows_hurt,           "flows",  "Admitted, and lost a frame.")

#undef GATE_COUNTER
#undef TARGET_COUNTER
