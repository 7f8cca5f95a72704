/*
 * interrupt - Ctrl-C ends what is under way, not the shell.
 *
 * Without interrupt_catch() it ends the program, as everywhere.
 */
#ifndef SPANWIRE_SHELL_INTERRUPT_H
#define SPANWIRE_SHELL_INTERRUPT_H

#include <stdbool.h>

void interrupt_catch(void);
/* Waits until FD can be read: true; false: it was pressed, now or before. */
bool interrupt_wait(int fd);
/* Was it pressed since interrupt_forget()? */
bool interrupt_seen(void);
void interrupt_forget(void);

#endif
