/*
 * What an engine sends of a capture, as the controller takes it apart, merges it and writes it: whatever it is, what comes
 * out is in the order of time and within what came.
 */
#include "base/base.h"

#include "controller/capture/ledger.h"
#include "controller/capture/merge.h"
#include "controller/capture/pcapng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct merge *m = merge_new();
	struct ledger *l = ledger_new();
	uint8_t *block = xmalloc(len + 1);
	const uint8_t *end = block + len;
	struct buf out = BUF_INIT;
	struct packets_item item;
	const struct merged *p;
	struct err e = { 0 };
	uint64_t last = 0;
	int rc;

	if (len)
		memcpy(block, data, len);
	data = block;
	merge_block(m, block, len);
	while ((rc = packets_take(&data, &len, &item, &e)) == 1) {
		if (item.kind == PACKETS_FRAME) {
			must(item.frame.data + item.frame.len <= end);
			merge_put(m, item.frame.port & 7, item.frame.at_ns, &item.frame);
			merge_until(m, item.frame.port & 7, item.frame.at_ns);
		} else if (item.kind == PACKETS_PORT) {
			pcapng_interface(&out, item.said.text, item.said.text, item.said.text);
			merge_open(m, item.said.number & 7);
		} else if (item.kind == PACKETS_NOTE) {
			ledger_note(l, 1, &item.note);
		} else {
			pcapng_secrets(&out, item.said.text, strlen(item.said.text));
		}
	}
	must(rc == 0 || e.text[0]);
	while ((p = merge_take(m, UINT64_MAX))) {
		char text[LEDGER_TEXT];
		const struct pcapng_packet put = { .at_ns = p->at_ns, .wire_len = p->frame.wire_len, .len = p->frame.len,
						   .data = p->frame.data, .comment = text,
						   .comment_len = ledger_say(l, 1, &p->frame, p->at_ns, text) };
		size_t before = out.len;

		must(put.comment_len == strlen(text) && put.comment_len < sizeof(text));
		must(p->at_ns >= last);
		last = p->at_ns;
		pcapng_packet(&out, &put);
		must(out.len - before == pcapng_packet_size(&put));
	}
	buf_fini(&out);
	merge_free(m);
	ledger_free(l);
	return 0;
}
