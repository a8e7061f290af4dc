/* GET /livez, /readyz and /metrics: what load balancers and monitoring ask. */
#include "api/resources.h"

#include <string.h>

#include "api/routes.h"
#include "base/buf.h"

enum err
livez_encode(struct call *call)
{
	response_header(call->response, STR("Cache-Control"), STR("no-store"));
	response_json(call->response, 200, STR("{\"status\":\"alive\"}"));
	return ERR_OK;
}

/*
 * Ready means: the store answers. Redis may be away, the service works without. Details only for those who ask through
 * the loopback server.
 */
enum err
readyz_encode(struct call *call)
{
	const struct store_port *store = call->turn->service->rooms.store;
	struct write_gate gate;
	bool ready = store->cache_gate(store->self, &gate) == ERR_OK;
	struct str verbose;
	struct buf body;

	buf_init(&body);
	buf_format(&body, "{\"status\":\"%s\"", ready ? "ready" : "not_ready");
	if (call->request->internal && request_query(call->request, STR("verbose"), &verbose))
		buf_format(&body,
			   ",\"checks\":{\"store\":\"%s\",\"cache\":\"%s\",\"cache_epoch\":%llu,\"seasons\":%u,"
			   "\"season_directory_version\":%llu}",
			   ready ? "ok" : "unavailable",
			   !ready                     ? "unknown"
			   : !gate.enabled            ? "off"
			   : call->turn->view.trusted ? "trusted"
						      : "not_trusted",
			   ready ? (unsigned long long)gate.epoch : 0ULL, call->turn->service->seasons.count,
			   (unsigned long long)call->turn->service->seasons.version);
	buf_char(&body, '}');
	response_header(call->response, STR("Cache-Control"), STR("no-store"));
	if (!ready)
		response_header(call->response, STR("Retry-After"), STR("1"));
	call_answer(call, ready ? 200 : 503, &body);
	return ERR_OK;
}

/* Whoever knows it says so; how much it is preferred is not asked. */
static bool
accepts(const struct request *request, struct str type)
{
	struct str accept = request->accept;

	return accept.len && memmem(accept.ptr, accept.len, type.ptr, type.len) != NULL;
}

enum err
metrics_encode(struct call *call)
{
	static const char *const types[] = {
		[METRICS_PROMETHEUS] = "text/plain; version=0.0.4; charset=utf-8",
		[METRICS_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
	};
	enum metrics_format format =
		accepts(call->request, STR("application/openmetrics-text")) ? METRICS_OPENMETRICS : METRICS_PROMETHEUS;
	struct buf body;

	buf_init(&body);
	metrics_print(call->api->metrics, route_put_labels, format, &body);
	call->response->status = 200;
	call->response->body = arena_str(call->arena, buf_view(&body));
	buf_release(&body);
	response_header(call->response, STR("Content-Type"), str_from(types[format]));
	response_header(call->response, STR("Cache-Control"), STR("no-store"));
	return ERR_OK;
}
