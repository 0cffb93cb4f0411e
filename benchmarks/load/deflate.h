/*
 * Messages compressed by permessage-deflate (RFC 7692).
 */

#ifndef DEFLATE_H
#define DEFLATE_H

#include <stdbool.h>
#include <stddef.h>

/* Compress a message that stands for itself. Returns its size, or 0 if it does not fit. */
size_t compressMessage(const char *message, size_t size, char *into, size_t room);

/* Whether what a server compressed ends with these bytes. `state` is a connection's, NULL at
 * first: a message may refer to those before it. */
bool inflatesTo(void **state, const char *compressed, size_t length, const char *end, size_t size);

#endif
