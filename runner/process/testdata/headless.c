/* Ends its first thread and goes on in another: it looks like a zombie and is none. */
#include <pthread.h>
#include <unistd.h>

static void *rest(void *arg) {
	(void)arg;
	usleep(100000);
	if (write(1, "up\n", 3) != 3)
		_exit(1);
	pause();
	return 0;
}

int main(void) {
	pthread_t thread;
	if (pthread_create(&thread, 0, rest, 0))
		return 1;
	pthread_exit(0);
}
