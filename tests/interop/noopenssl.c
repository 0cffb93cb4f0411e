/* Preloaded into PhantomJS 1.9.8, whose QtNetwork loads the system's OpenSSL at
 * start and crashes against OpenSSL 3: pretend that there is no OpenSSL. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

void *dlopen(const char *name, int flags) {
    static void *(*next)(const char *, int);
    if (name != NULL && (strstr(name, "libssl") || strstr(name, "libcrypto")))
        return NULL;
    if (next == NULL)
        next = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
    return next(name, flags);
}
