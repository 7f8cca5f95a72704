#include "engine/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <pwd.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"

/* The user that packages make; where there is none, the one who owns nothing. */
static int become_nobody(struct err *e)
{
	const struct passwd *pw = getpwnam("spanwire");

	if (!pw)
		pw = getpwnam("nobody");
	if (!pw)
		return err_set(e, -ENOENT, NULL, "there is neither a user spanwire nor a user nobody");
	/* From another user than 0 to the same: nothing to give up (tests of one's own). */
	if (geteuid() != 0)
		return 0;
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (setgroups(0, NULL) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		return err_set(e, -errno, NULL, "cannot become user %s: %s", pw->pw_name, strerror(errno));
	return 0;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* What a loop over sockets needs, and what the C library does by itself. */
static const int allowed[] = {
	SCMP_SYS(accept4), SCMP_SYS(bind), SCMP_SYS(close), SCMP_SYS(connect), SCMP_SYS(dup), SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_wait), SCMP_SYS(eventfd2), SCMP_SYS(fcntl),
	SCMP_SYS(getpeername), SCMP_SYS(getsockname), SCMP_SYS(getsockopt), SCMP_SYS(pipe2), SCMP_SYS(poll),
	SCMP_SYS(ppoll), SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg),
	SCMP_SYS(sendto), SCMP_SYS(shutdown), SCMP_SYS(splice), SCMP_SYS(write),
	SCMP_SYS(writev), SCMP_SYS(brk), SCMP_SYS(madvise), SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(mremap),
	SCMP_SYS(munmap), SCMP_SYS(clone), SCMP_SYS(clone3), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(futex),
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(restart_syscall), SCMP_SYS(rseq),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_yield), SCMP_SYS(set_robust_list), SCMP_SYS(set_tid_address), SCMP_SYS(sigaltstack),
	SCMP_SYS(sysinfo), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(gettimeofday), SCMP_SYS(nanosleep), SCMP_SYS(getrandom), SCMP_SYS(newfstatat), SCMP_SYS(fstat),
};

static int filter(scmp_filter_ctx f)
{
	static const int families[] = { AF_INET, AF_INET6 };
	static const struct { int level, but; } options[] = {
		{ SOL_SOCKET, -1 }, { IPPROTO_TCP, -1 }, { IPPROTO_UDP, -1 }, { IPPROTO_IP, IP_HDRINCL },
		{ IPPROTO_IPV6, IPV6_HDRINCL },
	};
	static const unsigned map_verbs[] = { BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(allowed); i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(families); i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				      SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
	/*
	 * A socket for echo requests stays one: with IP_HDRINCL a raw socket sends whatever packet one likes, from
	 * whatever address.
	 */
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(options); i++)
		rc = options[i].but < 0
			     ? seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 1,
						SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)options[i].level))
			     : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2,
						SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)options[i].level),
						SCMP_A2(SCMP_CMP_NE, (scmp_datum_t)options[i].but));
	/* Marks of server sockets; no map is made and no program is loaded. */
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(map_verbs); i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(bpf), 1, SCMP_A0(SCMP_CMP_EQ, map_verbs[i]));
	/* Itself, not others of the same user: abort(), and the limits that the C library asks for. */
	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				      SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_EQ, 0));
	/* The C library looks for files now and then (time zone, processors): it is told that there are none. */
	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0);
	return rc == 0 ? seccomp_load(f) : rc;
}
#endif

int sandbox_enter(int parent, struct err *e)
{
	int rc = become_nobody(e);

	if (rc < 0)
		return rc;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set(e, -errno, NULL, "prctl: %s", strerror(errno));
	/* After the change of user, which resets it; and the warden may have died before. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
		return err_set(e, -ESRCH, NULL, "the warden is gone");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which need far more system calls */
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);

	if (!f)
		return err_set(e, -ENOMEM, NULL, "no room for a seccomp filter");
	rc = filter(f);
	seccomp_release(f);
	if (rc < 0)
		return err_set(e, rc, NULL, "seccomp: %s", strerror(-rc));
#endif
	return 0;
}
