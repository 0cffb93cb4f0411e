#include "deflate.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Raw deflate, without a header of zlib's; with a window of any size that a server may choose. */
#define WINDOW (-15)
/* What a sender leaves out at the end of each message. */
static unsigned char tail[4] = {0, 0, 0xff, 0xff};

static char inflated[65536];

size_t compressMessage(const char *message, size_t size, char *into, size_t room) {
    z_stream stream = {.next_in = (unsigned char *)message, .avail_in = (unsigned)size};
    stream.next_out = (unsigned char *)into;
    stream.avail_out = (unsigned)room;
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW, 8, Z_DEFAULT_STRATEGY))
        return 0;
    int result = deflate(&stream, Z_SYNC_FLUSH);
    size_t done = room - stream.avail_out;
    bool fits = !result && !stream.avail_in && stream.avail_out && done > sizeof tail;
    deflateEnd(&stream);
    return fits ? done - sizeof tail : 0;
}

bool inflatesTo(void **state, const char *compressed, size_t length, const char *end, size_t size) {
    z_stream *stream = *state;
    if (!stream) {
        stream = *state = calloc(1, sizeof *stream);
        if (!stream || inflateInit2(stream, WINDOW))
            return false;
    }
    stream->next_out = (unsigned char *)inflated;
    stream->avail_out = sizeof inflated;
    stream->next_in = (unsigned char *)compressed;
    stream->avail_in = (unsigned)length;
    int result = inflate(stream, Z_SYNC_FLUSH);
    stream->next_in = tail;
    stream->avail_in = sizeof tail;
    if (result == Z_OK || result == Z_BUF_ERROR)
        result = inflate(stream, Z_SYNC_FLUSH);
    size_t done = sizeof inflated - stream->avail_out;
    return (result == Z_OK || result == Z_BUF_ERROR) && done >= size &&
           !memcmp(inflated + done - size, end, size);
}
