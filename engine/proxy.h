/*
 * proxy - the process that hears strangers.
 *
 * It starts with a descriptor of the channel to its warden and nothing else,
 * gives up all privileges, and does what the channel says: objects, listeners,
 * pings. Its main thread holds the configuration and the health monitors; N
 * workers carry the traffic. It ends when it is told to or when the channel
 * closes.
 */
#ifndef SPANWIRE_ENGINE_PROXY_H
#define SPANWIRE_ENGINE_PROXY_H

/* Never returns normally: the process' exit status. FD is the channel. */
int proxy_main(int fd, int pulse_fd, int warden_pid);

#endif
