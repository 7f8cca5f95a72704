#include "engine/significance.h"

#include "base/base.h"
#include "engine/records.h"
#include "engine/snapshot.h"
#include "model/structs.h"

static bool excuses_status(const struct analytics_profile *a, int64_t status)
{
	for (size_t i = 0; i < a->exclude_http_error_codes_n; i++)
		if (a->exclude_http_error_codes[i] == status)
			return true;
	for (size_t i = 0; i < a->ranges_n; i++)
		if (status >= a->ranges[i].begin && status <= a->ranges[i].end)
			return true;
	for (size_t i = 0; i < a->resp_code_block_n; i++)
		if (status / 100 == (a->resp_code_block[i] == AP_HTTP_RSP_4XX ? 4 : 5))
			return true;
	return false;
}

static bool excuses(const struct analytics_profile *a, const struct record *rec)
{
	switch ((enum record_reason)rec->reason) {
	case RECORD_STATUS_4XX:
	case RECORD_STATUS_5XX:
		return excuses_status(a, rec->status);
	case RECORD_CLOSED_EARLY:
		return a->exclude_client_close_before_request_as_error;
	case RECORD_CLIENT_RESET:
		return a->exclude_tcp_reset_as_error;
	case RECORD_SERVER_RESET:
		return a->exclude_server_tcp_reset_as_error;
	default:
		return false;
	}
}

void significance_judge(struct record *rec, const struct snapshot *snap)
{
	if (rec->reason != RECORD_NONE && snap && snap->analytics && excuses(snap->analytics, rec))
		rec->reason = RECORD_NONE;
}
