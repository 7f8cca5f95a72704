/*
 * notify - tells the service manager (sd_notify(3)) that the program is ready, or that it stops.
 *
 * Without NOTIFY_SOCKET in the environment nothing happens.
 */
#ifndef SPANWIRE_NET_NOTIFY_H
#define SPANWIRE_NET_NOTIFY_H

/* "READY=1", "STOPPING=1". */
void notify(const char *state);

#endif
