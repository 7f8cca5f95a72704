/*
 * http1_oracle - what the fuzz targets demand of net/http1.
 *
 * Three things, for any bytes: the codec looks at no byte that is not there (the sanitizers see
 * to that); how the bytes are cut into pieces changes nothing; and whatever it accepts, llhttp
 * frames in the same way: same end of the message, same fields, same body. llhttp may refuse
 * what we accept only for the reasons listed in http1_oracle.c. It is the other way round that
 * smuggles requests.
 *
 * A broken demand aborts.
 */
#ifndef SPANWIRE_TESTS_FUZZ_HTTP1_ORACLE_H
#define SPANWIRE_TESTS_FUZZ_HTTP1_ORACLE_H

#include "net/http1.h"

/* A stream of messages that follow each other. */
void http1_oracle(enum http1_side side, bool to_head, const char *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
