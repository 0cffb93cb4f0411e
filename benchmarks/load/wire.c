#include "wire.h"

#include <errno.h>
#include <openssl/err.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

static SSL_CTX *context;

bool useTLS(void) {
    signal(SIGPIPE, SIG_IGN);
    context = SSL_CTX_new(TLS_client_method());
    if (!context)
        return false;
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    /* One version and one cipher, so that all servers have the same to do. */
    return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) &&
           SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
}

bool usesTLS(void) { return context; }

bool openWire(struct wire *wire) {
    wire->tls = NULL;
    if (!context)
        return true;
    wire->tls = SSL_new(context);
    return wire->tls && SSL_set_fd(wire->tls, wire->fd);
}

/* What the result of a call of OpenSSL's is in terms of send() and recv(). */
static ssize_t result(struct wire *wire, int count) {
    if (count > 0)
        return count;
    switch (SSL_get_error(wire->tls, count)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        if (!errno)
            errno = EPROTO;
        return -1;
    }
}

int secureWire(struct wire *wire) {
    ERR_clear_error();
    ssize_t count = result(wire, SSL_connect(wire->tls));
    return count > 0 ? 1 : count < 0 && errno == EAGAIN ? 0 : -1;
}

ssize_t sendTo(struct wire *wire, const char *bytes, size_t length) {
    if (!wire->tls)
        return send(wire->fd, bytes, length, MSG_NOSIGNAL);
    ERR_clear_error();
    return result(wire, SSL_write(wire->tls, bytes, (int)length));
}

ssize_t receiveFrom(struct wire *wire, char *bytes, size_t length) {
    if (!wire->tls)
        return recv(wire->fd, bytes, length, 0);
    ERR_clear_error();
    return result(wire, SSL_read(wire->tls, bytes, (int)length));
}

void closeWire(struct wire *wire) {
    SSL_free(wire->tls);
    wire->tls = NULL;
    close(wire->fd);
}
