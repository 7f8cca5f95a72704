/* dump - prints the model as JSON: what GET /api/model answers, without a controller. */
#include "base/base.h"

#include "model/model.h"

int main(void)
{
	CLEANUP_JSON json_t *model = model_describe();
	CLEANUP_FREE char *text = json_text(model);

	return puts(text) < 0;
}
