/* The floor: vfork and exec of argv[1], argv[2] times, with a pause before each; writes how long each took to its first instruction, in nanoseconds. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
	int fds[2];
	if (argc < 3 || pipe(fds))
		return 1;
	for (int n = atoi(argv[2]); n > 0; n--) {
		struct timespec now, pace = {0, 15000000};
		long long began, first;
		nanosleep(&pace, 0);
		clock_gettime(CLOCK_MONOTONIC, &now);
		began = now.tv_sec * 1000000000LL + now.tv_nsec;
		pid_t pid = vfork();
		if (pid == 0) {
			dup2(fds[1], 1);
			execl(argv[1], argv[1], (char *)0);
			_exit(127);
		}
		if (pid < 0 || read(fds[0], &first, sizeof first) != sizeof first)
			return 1;
		waitpid(pid, 0, 0);
		printf("%lld\n", first - began);
	}
	return 0;
}
