/*
 * The load generator: one thread, one epoll, WebSockets in every dialect.
 *
 *   load echo|broadcast|rate|handshakes [options]
 *
 * It opens its connections, prints a line, and then obeys lines of input: "run WARMUP SECONDS
 * DEPTH" makes one measurement and prints it as one line of JSON. It ends with its input.
 *
 * All messages of a run are the same, so what is sent and what has to come back are two endless
 * tapes of known bytes: sending is copying from one, checking is comparing with the other, and a
 * message costs next to nothing here, however small. Only these are parsed: a broadcast's
 * deliveries, because a service may add to them, and what a server may compress as it likes. A
 * wrong byte, length or end of a connection is an error.
 */

#define _GNU_SOURCE
#include "deflate.h"
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define BUFFER (256 * 1024)
#define EVENTS 512
/* The longest head of an answer, and the longest frame of a broadcast. */
#define HEAD 2048
/* No more at once than the shortest backlog of a server here lets in without a retry. */
#define OPENING_AT_ONCE 32
/* In a storm so many wait at once, and so many begin to before others have their turn. */
#define STORM_AT_ONCE 1000
#define STORM_BURST 16
/* Nothing here waits longer than this for something to happen. */
#define PATIENCE (20 * SECOND)
/* As many source addresses: each has its own ports in TIME_WAIT. */
#define SOURCES 50

enum mode { ECHO, BROADCAST, RATE, HANDSHAKES, UNKNOWN };
enum framing { RAW, HIXIE, HYBI };
enum state { UNUSED, CONNECTING, SECURING, ANSWERING, OPEN, CLOSING };

static const struct dialect {
    const char *name;
    enum framing framing;
    int version;
} dialects[] = {
    {"tcp", RAW, 0},       {"hixie-75", HIXIE, 75}, {"hixie-76", HIXIE, 76},
    {"hybi-07", HYBI, 7},  {"hybi-08", HYBI, 8},    {"rfc6455", HYBI, 13},
};

/* The same unit over and over; reading may start anywhere below `cycle`. */
struct tape {
    char *bytes;
    size_t unit, cycle, size;
};

struct connection {
    struct wire wire;
    enum state state;
    uint64_t wanted, sent; /* positions on the tape `out` */
    uint64_t received;     /* position on the tape `in`; messages if parsed */
    void *inflater;
    size_t carried; /* unread bytes kept: of the answer's head, or of a frame */
    char carry[HEAD];
};

/* Those that hear the same broadcasts; the first of them sends. */
struct room {
    int members;
    uint64_t complete; /* broadcasts everybody has */
    uint64_t *missing; /* by depth, who has not */
};

static enum mode mode;
static const struct dialect *dialect = &dialects[0];
static int port;
static const char *path = "/";
static int connections = 1;
static size_t size = 16;
static double rate = 10; /* messages a second on each connection */
static int rooms = 1;    /* each with a path of its own if there are more */
static int storm;        /* connections that are opened beside the others, in mode RATE */
static bool deflating;   /* permessage-deflate is offered, and has to be agreed on */
static int serverPid;

static struct tape out, in;
static char *payload;
static struct connection *all;
static struct room *allRooms;
static int epoll;
static int opened, opening;
static int depth = 1;
static bool running; /* answers are expected ... */
static bool sending; /* ... and make the next message go out */
static char buffer[HEAD + BUFFER];

/* What a run counts */
static int64_t busy; /* time spent on anything but waiting */
static uint64_t bytesIn, deliveries, handshakes;
static uint64_t complete;           /* broadcasts that everybody in their room has */
static int64_t rateStart;           /* when message 0 was due */
static uint64_t rateNext;           /* the next message to send */
static uint64_t timedFrom, timedTo; /* the messages whose latency is kept */
static int64_t *latencies, *latenesses;

__attribute__((format(printf, 1, 2), noreturn))
static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static void *allocate(size_t count, size_t each) {
    void *made = calloc(count, each);
    if (!made)
        fail("out of memory");
    return made;
}

static int64_t clockNow(clockid_t clock) {
    struct timespec now;
    if (clock_gettime(clock, &now))
        fail("clock: %s", strerror(errno));
    return now.tv_sec * SECOND + now.tv_nsec;
}

static int64_t now(void) { return clockNow(CLOCK_MONOTONIC); }

/* The CPU time of the server, all its threads, in nanoseconds. */
static int64_t serverTime(void) {
    clockid_t clock;
    if (clock_getcpuclockid(serverPid, &clock))
        fail("the server is gone");
    return serverPid ? clockNow(clock) : 0;
}

/* Tapes */

static struct tape makeTape(const char *unit, size_t length) {
    struct tape tape = {.unit = length};
    size_t units = length < 65536 ? 65536 / length : 1;
    tape.cycle = units * length;
    tape.size = 2 * tape.cycle;
    tape.bytes = allocate(tape.size, 1);
    for (size_t at = 0; at < tape.size; at += length)
        memcpy(tape.bytes + at, unit, length);
    return tape;
}

static const char *onTape(const struct tape *tape, uint64_t position, size_t *length) {
    size_t offset = position % tape->cycle;
    if (*length > tape->size - offset)
        *length = tape->size - offset;
    return tape->bytes + offset;
}

/* The message: letters, or something like JSON where it is compressed. */
static char *makePayload(void) {
    char *made = allocate(size + 1, 1), item[128];
    size_t at = 0;
    unsigned random = 1;
    for (int number = 0; deflating && at < size; number++) {
        random = random * 1103515245 + 12345;
        int length = sprintf(item, "%s{\"id\":%d,\"name\":\"user%u\",\"price\":%u.%02u,\"ok\":%s}",
                             number ? "," : "[", number, random >> 20, random >> 16 & 4095,
                             random >> 8 & 63, random >> 30 ? "true" : "false");
        if (at + (size_t)length + 1 > size)
            break;
        memcpy(made + at, item, (size_t)length);
        at += (size_t)length;
    }
    if (at) {
        made[at++] = ']';
        memset(made + at, ' ', size - at);
        return made;
    }
    for (size_t i = 0; i < size; i++)
        made[i] = (char)('a' + (int)(i % 26));
    return made;
}

/* One message as a frame: masked as clients do, or plain as it comes back. */
static struct tape makeFrames(bool masked) {
    static const char mask[4] = {0x37, (char)0xfa, 0x21, 0x3d};
    char *frame = allocate(size + 16, 1), *compressed = allocate(size + 64, 1);
    const char *body = payload;
    size_t at = 0, length = size;
    if (deflating) {
        body = compressed;
        length = compressMessage(payload, size, compressed, size + 64);
        if (!length || length > size)
            fail("the message cannot be compressed");
    }
    if (dialect->framing == HIXIE)
        frame[at++] = 0;
    if (dialect->framing == HYBI) {
        int bit = masked ? 0x80 : 0, lengthBytes = length < 126 ? 0 : length < 65536 ? 2 : 8;
        frame[at++] = (char)(deflating ? 0xc1 : 0x81);
        frame[at++] = (char)(bit | (lengthBytes == 0 ? (int)length : lengthBytes == 2 ? 126 : 127));
        while (lengthBytes--)
            frame[at++] = (char)((uint64_t)length >> (8 * lengthBytes));
        if (masked) {
            memcpy(frame + at, mask, 4);
            at += 4;
        }
    }
    masked = masked && dialect->framing == HYBI;
    for (size_t i = 0; i < length; i++)
        frame[at++] = (char)(body[i] ^ (masked ? mask[i % 4] : 0));
    if (dialect->framing == HIXIE)
        frame[at++] = (char)0xff;
    struct tape tape = makeTape(frame, at);
    free(frame);
    free(compressed);
    return tape;
}

/* Sending and receiving */

static void flush(struct connection *c) {
    while (c->sent < c->wanted) {
        size_t length = c->wanted - c->sent;
        const char *bytes = onTape(&out, c->sent, &length);
        ssize_t count = sendTo(&c->wire, bytes, length);
        if (count < 0) {
            if (errno == EAGAIN)
                return;
            fail("connection %d: send: %s", (int)(c - all), strerror(errno));
        }
        c->sent += (uint64_t)count;
    }
}

/* Have `depth` messages on their way again, once half have come back: if each made for another, the
 * size of the server's reads would depend on how quick we are. */
static void topUp(struct connection *c, uint64_t done) {
    uint64_t room = done + (uint64_t)depth - c->wanted / out.unit;
    if (2 * room >= (uint64_t)depth) {
        c->wanted += room * out.unit;
        flush(c);
    }
}

static void sendAtOnce(struct connection *c, const char *bytes, size_t length) {
    if (sendTo(&c->wire, bytes, length) != (ssize_t)length && mode != HANDSHAKES)
        fail("connection %d: send: %s", (int)(c - all), strerror(errno));
}

/* The next message may go out once this one is with everybody. */
static void delivered(const struct connection *c, uint64_t message) {
    struct room *room = &allRooms[(c - all) % rooms];
    deliveries++;
    if (running && !--room->missing[message % (uint64_t)depth]) {
        room->missing[message % (uint64_t)depth] = (uint64_t)room->members;
        room->complete++;
        complete++;
    }
}

/* Whether messages are told apart from what else a service says, or are compressed. */
static bool parses(void) { return deflating || (mode == BROADCAST && dialect->framing != RAW); }

/* The messages of this run that came back. */
static uint64_t answered(const struct connection *c) {
    return parses() ? c->received : c->received / in.unit;
}

/* Count the frames that end in our payload; return the bytes that make up whole frames. */
static size_t parseFrames(struct connection *c, const char *bytes, size_t length) {
    size_t at = 0;
    while (at < length) {
        const uint8_t *frame = (const uint8_t *)bytes + at;
        size_t left = length - at, header = 1, body, trailer = 0;
        if (dialect->framing == HIXIE) {
            const uint8_t *end = memchr(frame, 0xff, left);
            if (frame[0] != 0)
                fail("connection %d: a frame of type 0x%02x", (int)(c - all), frame[0]);
            if (!end)
                break;
            body = (size_t)(end - frame) - 1;
            trailer = 1;
        } else {
            if (left < 2)
                break;
            if ((frame[0] != 0x81 && !(frame[0] == 0xc1 && deflating)) || frame[1] > 126)
                fail("connection %d: a frame that begins %02x %02x", (int)(c - all), frame[0],
                     frame[1]);
            header = frame[1] < 126 ? 2 : 4;
            if (left < header)
                break;
            body = header == 2 ? frame[1] : (size_t)(frame[2] << 8 | frame[3]);
            if (left < header + body)
                break;
        }
        const char *message = (const char *)frame + header;
        bool isOurs = frame[0] == 0xc1
                          ? inflatesTo(&c->inflater, message, body, payload, size)
                          : body >= size && !memcmp(message + body - size, payload, size);
        if (isOurs)
            delivered(c, c->received++);
        else if (mode != BROADCAST)
            fail("connection %d: the answer differs", (int)(c - all));
        at += header + body + trailer;
    }
    if (mode == ECHO && sending)
        topUp(c, c->received);
    return at;
}

/* Compare with what has to come back. */
static void compare(struct connection *c, const char *bytes, size_t length) {
    if (!running)
        fail("connection %d: %zu bytes nobody asked for", (int)(c - all), length);
    while (length) {
        size_t part = length;
        const char *expected = onTape(&in, c->received, &part);
        if (memcmp(bytes, expected, part))
            fail("connection %d: the answer differs near its byte %llu", (int)(c - all),
                 (unsigned long long)c->received);
        c->received += part;
        bytes += part;
        length -= part;
    }
}

/* The round trip of the nth message on a connection, from when it was due. */
static void timeMessage(const struct connection *c, uint64_t n, int64_t time) {
    uint64_t message = n * (uint64_t)connections + (uint64_t)(c - all);
    if (message >= timedFrom && message < timedTo)
        latencies[message - timedFrom] =
            time - rateStart - (int64_t)((double)message * SECOND / (rate * connections));
}

static size_t take(struct connection *c, const char *bytes, size_t length) {
    uint64_t before = c->received / in.unit;
    bytesIn += length;
    compare(c, bytes, length);
    uint64_t done = c->received / in.unit;
    if (mode == BROADCAST) {
        while (before < done)
            delivered(c, before++);
    } else if (mode == RATE) {
        for (int64_t time = now(); before < done;)
            timeMessage(c, before++, time);
    } else if (sending) {
        topUp(c, done);
    }
    if (mode != BROADCAST && done * out.unit > c->sent)
        fail("connection %d: more comes back than was sent", (int)(c - all));
    return length;
}

/* Opening and closing */

static void watch(struct connection *c) {
    struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.ptr = c}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->wire.fd, &event))
        fail("epoll_ctl: %s", strerror(errno));
}

static void connectOne(struct connection *c) {
    static unsigned source;
    static const int on = 1;
    static const struct linger noWait = {1, 0};
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = c->wire.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket: %s (ulimit -n?)", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &noWait, sizeof noWait);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    address.sin_addr.s_addr = htonl(0x7f000002u + source++ % SOURCES);
    if (bind(fd, (struct sockaddr *)&address, sizeof address))
        fail("bind: %s", strerror(errno));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)port);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        fail("connect: %s", strerror(errno));
    if (!openWire(&c->wire))
        fail("TLS cannot be used");
    c->state = CONNECTING;
    c->wanted = c->sent = c->received = 0;
    opening++;
    watch(c);
}

static void disconnect(struct connection *c) {
    closeWire(&c->wire);
    c->carried = 0;
    c->state = UNUSED;
    opened--;
}

/* Begin to close as the dialect does; the server ends the connection. */
static void closeOne(struct connection *c) {
    c->state = CLOSING;
    if (dialect->framing == HYBI)
        sendAtOnce(c, "\x88\x82\0\0\0\0\x03\xe8", 8);
    else if (dialect->version == 76)
        sendAtOnce(c, "\xff\0", 2);
    else
        shutdown(c->wire.fd, SHUT_WR);
}

static void isOpen(struct connection *c) {
    c->state = OPEN;
    opening--;
    opened++;
    if (storm)
        handshakes++;
    if (mode == HANDSHAKES)
        closeOne(c);
}

static void request(struct connection *c) {
    static const char *keys = "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n"
                              "Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n^n:ds[4U";
    static const char *key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    static const char *offer = "Sec-WebSocket-Extensions: permessage-deflate; "
                               "client_max_window_bits\r\n";
    char head[1024], room[16] = "", version[64] = "Origin: http://localhost\r\n";
    if (dialect->framing == HYBI)
        sprintf(version, "Sec-WebSocket-Version: %d\r\n", dialect->version);
    if (rooms > 1)
        sprintf(room, "/%d", (int)(c - all) % rooms);
    snprintf(head, sizeof head,
             "GET %s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
             "Upgrade: %s\r\nConnection: Upgrade\r\n%s%s%s%s",
             path, room, port, dialect->framing == HIXIE ? "WebSocket" : "websocket", version,
             dialect->framing == HYBI ? key : "", deflating ? offer : "",
             dialect->version == 76 ? keys : "\r\n");
    sendAtOnce(c, head, strlen(head));
    c->state = ANSWERING;
}

/* Go on to open a connection whose TCP is there. */
static void connected(struct connection *c) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->wire.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error)
        fail("connect: %s", strerror(error));
    if (usesTLS()) {
        int secured = secureWire(&c->wire);
        if (secured < 0)
            fail("connection %d: TLS fails", (int)(c - all));
        c->state = SECURING;
        if (!secured)
            return;
    }
    if (dialect->framing == RAW)
        isOpen(c);
    else
        request(c);
}

/* Returns the length of a complete and right answer; 0 as long as it is incomplete. */
static size_t readHead(char *bytes, size_t length) {
    static const char proof[] = "8jKS'y:G*Co,Wxa-";
    char *end = memmem(bytes, length, "\r\n\r\n", 4);
    if (!end) {
        if (length >= HEAD)
            fail("the answer to the handshake does not end");
        return 0;
    }
    size_t head = (size_t)(end - bytes) + 4, proofSize = dialect->version == 76 ? 16 : 0;
    if (head < 12 || memcmp(bytes, "HTTP/1.1 101", 12))
        fail("refused: %.*s", (int)(strcspn(bytes, "\r")), bytes);
    if (length < head + proofSize)
        return 0;
    if (dialect->framing == HYBI && !memmem(bytes, head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28))
        fail("the server does not prove that it read the key");
    if (deflating && !memmem(bytes, head, "permessage-deflate", 18))
        fail("the server does not agree to permessage-deflate");
    if (memcmp(end + 4, proof, proofSize))
        fail("the server does not prove that it read the keys");
    return head + proofSize;
}

/* Take bytes that may end within a head or a frame; what is left over waits for the next. */
static void takePieces(struct connection *c, char *bytes, size_t length) {
    if (c->carried) {
        bytes -= c->carried;
        memcpy(bytes, c->carry, c->carried);
        length += c->carried;
        c->carried = 0;
    }
    if (c->state == ANSWERING) {
        size_t head = readHead(bytes, length);
        if (head)
            isOpen(c);
        bytes += head;
        length -= head;
    }
    if (c->state == OPEN && length) {
        size_t whole = parses() ? parseFrames(c, bytes, length) : take(c, bytes, length);
        bytes += whole;
        length -= whole;
    }
    if (length && c->state != CLOSING) {
        if (length > HEAD)
            fail("connection %d: a frame of more than %d bytes", (int)(c - all), HEAD);
        memcpy(c->carry, bytes, length);
        c->carried = length;
    }
}

static void ended(struct connection *c, const char *how) {
    if (mode != HANDSHAKES || c->state != CLOSING)
        fail("connection %d: the server ended it: %s", (int)(c - all), how);
    handshakes++;
    disconnect(c);
    if (sending)
        connectOne(c);
}

static void receive(struct connection *c, bool toTheEnd) {
    for (;;) {
        ssize_t count = receiveFrom(&c->wire, buffer + HEAD, BUFFER);
        if (count <= 0) {
            if (count < 0 && errno == EAGAIN)
                return;
            ended(c, count ? strerror(errno) : "end of stream");
            return;
        }
        if (c->state == OPEN && !parses())
            take(c, buffer + HEAD, (size_t)count);
        else
            takePieces(c, buffer + HEAD, (size_t)count);
        if (count < BUFFER && !toTheEnd && !usesTLS())
            return;
    }
}

/* Wait, at most so long, and deal with what happened. Returns the number of events. */
static int turn(int64_t longest) {
    static struct epoll_event events[EVENTS];
    int64_t start = now(), end = start + longest;
    int count;
    do {
        start = now();
        count = epoll_wait(epoll, events, EVENTS, 0);
    } while (count == 0 && start < end);
    for (int i = 0; i < count; i++) {
        struct connection *c = events[i].data.ptr;
        uint32_t what = events[i].events;
        bool isConnecting = c->state == CONNECTING && what & (EPOLLOUT | EPOLLERR | EPOLLHUP);
        if (isConnecting || c->state == SECURING)
            connected(c);
        else if (what & EPOLLOUT)
            flush(c);
        if (what & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP) && c->state > SECURING)
            receive(c, what & (EPOLLRDHUP | EPOLLERR | EPOLLHUP));
    }
    if (count)
        busy += now() - start;
    return count;
}

#define TURN_UNTIL(condition, whatElse)                                   \
    for (int64_t deadline = now() + PATIENCE; !(condition);) {            \
        if (turn(SECOND / 10))                                            \
            deadline = now() + PATIENCE;                                  \
        else if (now() > deadline)                                        \
            fail("nothing happens any more: %s", whatElse);               \
    }

static void openAll(void) {
    int next = 0;
    while (opened < connections) {
        int before = opened;
        while (next < connections && opening < OPENING_AT_ONCE)
            connectOne(&all[next++]);
        TURN_UNTIL(opened > before, "connections do not open");
    }
    /* Whatever greets new clients is over when it is quiet. */
    while (turn(SECOND / 20))
        ;
}

/* A run */

struct mark {
    int64_t wall, busy, server;
    double units;
};

static struct mark mark(void) {
    double units = (double)(mode == HANDSHAKES || storm ? handshakes : deliveries);
    if ((mode == ECHO || mode == RATE) && !storm && !parses())
        units = (double)bytesIn / (double)in.unit;
    return (struct mark){now(), busy, serverTime(), units};
}

/* Send what is due; returns how long until the next is. */
static int64_t sendDue(void) {
    double gap = SECOND / (rate * connections);
    for (;;) {
        int64_t late = now() - rateStart - (int64_t)((double)rateNext * gap);
        if (late < 0)
            return -late;
        struct connection *c = &all[rateNext % (uint64_t)connections];
        c->wanted += out.unit;
        flush(c);
        if (rateNext >= timedFrom && rateNext < timedTo)
            latenesses[rateNext - timedFrom] = late;
        rateNext++;
    }
}

static uint64_t progress(void) {
    if (mode == HANDSHAKES)
        return handshakes;
    return mode == BROADCAST ? complete : parses() ? deliveries : bytesIn / in.unit;
}

/* Go on until then, and to the next answer after it: where answers come in bursts, a run is to
 * hold whole ones. */
static void proceed(int64_t until) {
    uint64_t before = progress();
    for (int64_t time; (time = now()) < until || progress() == before;) {
        int64_t wait = until - time;
        if (wait > 0)
            before = progress();
        else if (wait < -PATIENCE)
            fail("no answer comes");
        if (mode == RATE) {
            int64_t due = sendDue();
            wait = due < wait ? due : wait;
        }
        turn(wait);
        for (int i = 0; mode == BROADCAST && i < rooms; i++) {
            uint64_t wanted = (allRooms[i].complete + (uint64_t)depth) * out.unit;
            if (wanted != all[i].wanted) {
                all[i].wanted = wanted;
                flush(&all[i]);
            }
        }
    }
}

/* Whether all that was sent has come back. */
static bool settled(void) {
    if (mode == HANDSHAKES)
        return opened + opening == 0;
    for (int i = 0; i < connections; i++) {
        const struct connection *c = &all[mode == BROADCAST ? i % rooms : i];
        if (c->sent < c->wanted || answered(&all[i]) < c->wanted / out.unit)
            return false;
    }
    return true;
}

static int compareTimes(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void printPercentiles(const char *name, int64_t *times, uint64_t count) {
    static const char *points[] = {"50", "90", "99", "99.9", "100"};
    qsort(times, count, sizeof *times, compareTimes);
    for (int i = 0; i < 5; i++) {
        uint64_t at = (uint64_t)(atof(points[i]) / 100 * (double)(count - 1));
        printf("%s\"%s\": %.6f", i ? ", " : name, points[i], (double)times[at] / SECOND);
    }
    free(times);
}

/* Open many connections beside those that go on as before. */
static void unleash(void) {
    int everybody = connections + storm;
    timedFrom = rateNext;
    for (int next = connections; opened < everybody;) {
        for (int i = 0; i < STORM_BURST && next < everybody && opening < STORM_AT_ONCE; i++)
            connectOne(&all[next++]);
        int64_t due = sendDue();
        if (rateNext >= timedTo)
            fail("the connections do not all open");
        turn(next < everybody && opening < STORM_AT_ONCE ? 0 : due);
    }
    timedTo = rateNext;
}

static void calm(void) {
    for (int i = connections; i < connections + storm; i++)
        disconnect(&all[i]);
}

static void begin(double warmUp, uint64_t timed) {
    running = sending = true;
    complete = rateNext = 0;
    for (int i = 0; i < rooms; i++) {
        struct room *room = &allRooms[i];
        room->members = connections / rooms + (i < connections % rooms);
        room->complete = 0;
        room->missing = allocate((size_t)depth, sizeof *room->missing);
        for (int j = 0; j < depth; j++)
            room->missing[j] = (uint64_t)room->members;
    }
    if (mode == RATE) {
        timedFrom = (uint64_t)(warmUp * rate * connections);
        timedTo = timedFrom + timed;
        latencies = allocate(timed, sizeof *latencies);
        latenesses = allocate(timed, sizeof *latenesses);
    }
    for (int i = 0; i < connections; i++) {
        struct connection *c = &all[i];
        c->wanted = c->sent = c->received = 0;
        if (mode == ECHO || (mode == BROADCAST && i < rooms))
            c->wanted = (uint64_t)depth * out.unit;
        if (mode == HANDSHAKES)
            connectOne(c);
        else
            flush(c);
    }
}

static void run(double warmUp, double seconds) {
    /* A storm takes as long as it takes. */
    double longest = storm ? 3.0 * PATIENCE / SECOND : seconds;
    uint64_t timed = 1 + (uint64_t)(longest * rate * connections);
    int64_t start = rateStart = now();
    begin(warmUp, timed);
    proceed(start + (int64_t)(warmUp * SECOND));
    struct mark from = mark();
    if (storm)
        unleash();
    else
        proceed(start + (int64_t)((warmUp + seconds) * SECOND));
    struct mark to = mark();
    /* What is still on its way comes back; nothing new goes out. */
    sending = false;
    TURN_UNTIL(settled(), "answers are missing");
    running = false;
    for (int i = 0; i < rooms; i++)
        free(allRooms[i].missing);
    if (mode == RATE)
        timed = timedTo - timedFrom;
    calm();
    printf("{\"units\": %.1f, \"wall\": %.6f, \"busy\": %.6f, \"serverCpu\": %.6f",
           to.units - from.units, (double)(to.wall - from.wall) / SECOND,
           (double)(to.busy - from.busy) / SECOND, (double)(to.server - from.server) / SECOND);
    if (mode == RATE) {
        printPercentiles(", \"latency\": {", latencies, timed);
        printPercentiles("}, \"late\": {", latenesses, timed);
    }
    puts(mode == RATE ? "}}" : "}");
    fflush(stdout);
}

/* The command line */

static double number(const char *text, double lowest, double highest) {
    char *end;
    double value = strtod(text, &end);
    if (!*text || *end || !(value >= lowest && value <= highest))
        fail("%s is not a number from %g to %g", text, lowest, highest);
    return value;
}

static void option(const char *name, const char *value) {
    if (!strcmp(name, "--port"))
        port = (int)number(value, 1, 65535);
    else if (!strcmp(name, "--path"))
        path = value;
    else if (!strcmp(name, "--connections"))
        connections = (int)number(value, 1, 1e6);
    else if (!strcmp(name, "--size"))
        size = (size_t)number(value, 1, 1 << 28);
    else if (!strcmp(name, "--rate"))
        rate = number(value, 0.001, 1e6);
    else if (!strcmp(name, "--rooms"))
        rooms = (int)number(value, 1, 1e6);
    else if (!strcmp(name, "--storm"))
        storm = (int)number(value, 0, 1e6);
    else if (!strcmp(name, "--deflate"))
        deflating = number(value, 0, 1) > 0;
    else if (!strcmp(name, "--tls")) {
        if (number(value, 0, 1) > 0 && !useTLS())
            fail("TLS cannot be used");
    }
    else if (!strcmp(name, "--pid"))
        serverPid = (int)number(value, 1, 1 << 30);
    else if (!strcmp(name, "--dialect")) {
        for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
            if (!strcmp(value, dialects[i].name)) {
                dialect = &dialects[i];
                return;
            }
        fail("there is no dialect %s", value);
    } else
        fail("there is no option %s", name);
}

int main(int count, char **arguments) {
    static const char *modes[] = {"echo", "broadcast", "rate", "handshakes"};
    char line[256];
    for (mode = ECHO; mode < UNKNOWN && strcmp(count > 1 ? arguments[1] : "", modes[mode]);)
        mode++;
    if (mode == UNKNOWN || count % 2)
        fail("echo, broadcast, rate or handshakes; then options in pairs");
    for (int i = 2; i < count; i += 2)
        option(arguments[i], arguments[i + 1]);
    if (rooms > connections)
        fail("there are more rooms than connections");
    if (storm && mode != RATE)
        fail("a storm is for mode rate");
    if (deflating && (dialect->framing != HYBI || mode == RATE))
        fail("permessage-deflate is for echo and broadcast, and for RFC 6455");
    epoll = epoll_create1(EPOLL_CLOEXEC);
    payload = makePayload();
    out = makeFrames(true);
    in = makeFrames(false);
    all = allocate((size_t)(connections + storm), sizeof *all);
    allRooms = allocate((size_t)rooms, sizeof *allRooms);
    if (mode != HANDSHAKES)
        openAll();
    printf("{\"opened\": %d}\n", opened);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        double warmUp, seconds;
        if (sscanf(line, "run %lf %lf %d", &warmUp, &seconds, &depth) != 3 || depth < 1 ||
            warmUp < 0 || seconds <= 0 || seconds > 3600)
            fail("not a command: %s", line);
        run(warmUp, seconds);
    }
    return 0;
}
