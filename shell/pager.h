/*
 * pager - answers that are longer than the terminal, a page at a time.
 *
 * A stream: what is written to it comes out in pages of LENGTH lines. Behind each one a key is waited for: blank or f a
 * page, Enter a line, G all of it, q or Ctrl-C the end, after which nothing more comes out.
 */
#ifndef SPANWIRE_SHELL_PAGER_H
#define SPANWIRE_SHELL_PAGER_H

#include <stdio.h>

/* Onto OUT, a terminal; to be closed with fclose(). */
FILE *pager_open(FILE *out, int length);

#endif
