/*
 * What connections of the load generator run over: TCP, or TLS over it. Sending and receiving are
 * like send() and recv() on a socket that does not block: EAGAIN stands for "later".
 */

#ifndef WIRE_H
#define WIRE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/types.h>

struct wire {
    int fd;
    SSL *tls; /* NULL without TLS */
};

/* Use TLS for all wires from now on. Returns false if that cannot be. */
bool useTLS(void);
bool usesTLS(void);

/* Begin with a socket that is connected. */
bool openWire(struct wire *wire);
/* Go on with the handshake of TLS. Returns 1 if it is complete, 0 if it goes on later, else -1. */
int secureWire(struct wire *wire);
ssize_t sendTo(struct wire *wire, const char *bytes, size_t length);
ssize_t receiveFrom(struct wire *wire, char *bytes, size_t length);
void closeWire(struct wire *wire);

#endif
