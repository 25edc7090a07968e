/* What the doctor tries in the kernel. Each try is cheap and leaves nothing behind: attaching
 * happens in a network namespace of a child that ends with it. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include <stddef.h>

/* 0 it works; -EPERM: not for this user, so nobody knows; else what the kernel answered. */
int probe_xdp_load(void);
int probe_tc_load(void);
int probe_xdp_attach(void);                    /* generic mode, on lo of a new namespace */
int probe_tc_attach(void);                     /* clsact, there too */
int probe_xsk_socket(void);                    /* AF_XDP */
int probe_packet_socket(void);                 /* AF_PACKET */
int probe_port(int is_tcp, unsigned int port); /* -EADDRINUSE: somebody has it */
int probe_connect(unsigned int port);          /* 0: somebody listens at 127.0.0.1 */

/* Offloads of an interface that change what is seen: bit set. Negative errno if it does not say. */
enum { OFFLOAD_LRO = 1, OFFLOAD_GRO = 2, OFFLOAD_RXVLAN = 4 };
int probe_offloads(const char *interface);
/* Its driver's name. 0 or -errno. */
int probe_driver(const char *interface, char *buf, size_t cap_bytes);

#endif
