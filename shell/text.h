/* text - JSON values as a human reads them. All texts are the caller's to free. */
#ifndef SPANWIRE_SHELL_TEXT_H
#define SPANWIRE_SHELL_TEXT_H

#include "base/buf.h"
#include "base/json.h"

/*
 * A value in one cell: references by name ("https://host/api/pool/pool-1#web" is "web"),
 * addresses as they are written ("10.0.0.0/24"), times by the local clock, lists with commas,
 * what is left as JSON. "" for nothing.
 */
char *text_of(const json_t *v);
/* Is it shown in one cell, or does it have members to be shown by themselves? */
bool text_is_flat(const json_t *v);
/* In place of a secret, as the controller writes it. */
#define TEXT_SECRET "<sensitive>"
/* Without what could move the cursor or change the terminal. In place. */
char *text_harmless(char *s);

#endif
