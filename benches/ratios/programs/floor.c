/* The floor of CGI: a program that prints a response and ends. */
#include <stdio.h>

int main(void)
{
    fputs("Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 14\r\n\r\nHello, world!\n",
          stdout);
    return 0;
}
