/*
 * grid - a table on the terminal: titles, rows, cells; wrapped to the terminal's width, whole
 * everywhere else.
 */
#ifndef SPANWIRE_SHELL_GRID_H
#define SPANWIRE_SHELL_GRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct grid;

struct grid *grid_new(void);
void grid_free(struct grid *g);
/*
 * All columns before the first row: of a field, in capitals, or of an object, under its own name.
 */
void grid_column(struct grid *g, const char *field);
void grid_column_of(struct grid *g, const char *object);
void grid_row(struct grid *g);
/* A cell of the newest row. Takes TEXT; NULL: empty. */
void grid_cell(struct grid *g, size_t column, char *text);
/* In frames, +---+---+; for all tables from here on. */
void grid_framed(bool framed);
bool grid_is_framed(void);
/* How wide a terminal is; 0: as it says itself. */
void grid_width(int columns);
/* What a framed table on a terminal has no room for is left out from the right, and named. */
void grid_print(struct grid *g, FILE *out);
/* Would something be left out? */
bool grid_fits(struct grid *g, FILE *out);
/* How many columns there are for a line; SIZE_MAX: nobody minds. */
size_t grid_room(FILE *out);

#endif
