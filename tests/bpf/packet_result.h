/* What tests/bpf/packet.bpf.c hands to test_packet.c. */
#ifndef TESTS_BPF_PACKET_RESULT_H
#define TESTS_BPF_PACKET_RESULT_H

#include "wire/packet.h"

struct packet_result {
	struct packet packet;
	struct packet_tag tag;
	__u32 verdict;
};

#endif
