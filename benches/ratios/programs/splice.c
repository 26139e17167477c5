/* The floor of a download: a file moved into a pipe by splice, which copies nothing, and by nothing else. Linux. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <unistd.h>

int main(int count, char **words)
{
    int file = count == 2 ? open(words[1], O_RDONLY) : -1;
    ssize_t moved = file < 0 ? -1 : 1;
    while (moved > 0)
        moved = splice(file, NULL, STDOUT_FILENO, NULL, 1 << 30, 0);
    return moved < 0;
}
