/*
 * A bare TCP server in C: bare echo|broadcast PORT. What comes back, or goes to everybody, is what
 * came in. It is what the load generator is measured against.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 512
#define CLIENTS 65536

static char buffer[256 * 1024];
static int clients[CLIENTS], count;

static void check(bool isGood, const char *what) {
    if (!isGood) {
        perror(what);
        exit(1);
    }
}

static void sendAll(int fd, size_t length) {
    for (size_t sent = 0; sent < length;) {
        ssize_t part = send(fd, buffer + sent, length - sent, MSG_NOSIGNAL);
        struct pollfd ready = {fd, POLLOUT, 0};
        if (part >= 0)
            sent += (size_t)part;
        else if (errno != EAGAIN || poll(&ready, 1, 10000) <= 0)
            return;
    }
}

static void leave(int fd) {
    close(fd);
    for (int i = 0; i < count; i++)
        if (clients[i] == fd)
            clients[i] = clients[--count];
}

int main(int argumentCount, char **arguments) {
    static struct epoll_event events[EVENTS];
    static const int on = 1;
    check(argumentCount == 3, "bare echo|broadcast PORT");
    bool toAll = !strcmp(arguments[1], "broadcast");
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_port = htons((uint16_t)atoi(arguments[2]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int epoll = epoll_create1(EPOLL_CLOEXEC), listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    check(!bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
    check(!listen(listener, 1024), "listen");
    struct epoll_event event = {EPOLLIN, {.fd = listener}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                event.data.fd = fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                check(fd >= 0 && count < CLIENTS, "accept");
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
                clients[count++] = fd;
                continue;
            }
            ssize_t length = recv(fd, buffer, sizeof buffer, 0);
            if (length <= 0)
                leave(fd);
            else if (!toAll)
                sendAll(fd, (size_t)length);
            for (int j = 0; toAll && length > 0 && j < count; j++)
                sendAll(clients[j], (size_t)length);
        }
    }
}
