/* A name whose address changes with every look. Loaded into a host by LD_PRELOAD, in front of the C library.
 *
 * `rebinds.example` is 127.0.0.1 for who asks first, then 127.0.0.2, and so on in turn. All other names are the C
 * library's to look up. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdatomic.h>
#include <string.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
  static atomic_int asked;
  lookup *next = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
  if (name && !strcmp(name, "rebinds.example")) name = atomic_fetch_add(&asked, 1) % 2 ? "127.0.0.2" : "127.0.0.1";
  return next(name, service, hints, found);
}
