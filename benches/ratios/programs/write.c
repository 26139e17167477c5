/* The floor of a response in chunks: one block of 16 KiB, written as often as the first word says, and nothing else. */
#include <stdlib.h>
#include <unistd.h>

int main(int count, char **words)
{
    static char block[16 << 10];
    long left = count == 2 ? atol(words[1]) : 0;
    while (left > 0 && write(STDOUT_FILENO, block, sizeof block) == sizeof block)
        left--;
    return left != 0;
}
