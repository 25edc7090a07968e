/* The OpenAPI 3.1 document, made from api_routes so that it cannot drift.
 *
 * A route's shape says its JSON body in one line, which becomes a JSON schema here:
 *     {name:i other?:s list:[n] *:i}    an object; `?` after a name: may be absent; `*`: any other name
 *     [X]                               an array of X
 *     i integer, n number, s string, b boolean, t time (RFC 3339), * anything; `?` after it: or null */
#include <stdlib.h>
#include <string.h>

#include "web/api.h"

static json_t *schema(const char **at);

static json_t *object_schema(const char **at)
{
	json_t *properties = json_object(), *required = json_array(), *others = json_false();
	json_t *o;

	while (**at && **at != '}') {
		const char *name = *at;
		size_t len = strcspn(name, ":?");
		int optional = name[len] == '?';

		*at = name + len + (size_t)optional + 1;
		if (*name == '*') {
			json_decref(others);
			others = schema(at);
		} else {
			json_object_setn_new(properties, name, len, schema(at));
			if (!optional)
				json_array_append_new(required, json_stringn(name, len));
		}
		*at += strspn(*at, " ");
	}
	*at += **at == '}';
	o = json_pack("{s:s, s:o, s:o}", "type", "object", "properties", properties,
		      "additionalProperties", others);
	if (json_array_size(required))
		json_object_set_new(o, "required", required);
	else
		json_decref(required);
	return o;
}

static json_t *plain_schema(char letter)
{
	switch (letter) {
	case 'i':
		return json_pack("{s:s}", "type", "integer");
	case 'n':
		return json_pack("{s:s}", "type", "number");
	case 's':
		return json_pack("{s:s}", "type", "string");
	case 'b':
		return json_pack("{s:s}", "type", "boolean");
	case 't':
		return json_pack("{s:s, s:s}", "type", "string", "format", "date-time");
	default:
		return json_true();
	}
}

static json_t *schema(const char **at)
{
	char first = *(*at)++;
	json_t *s;

	if (first == '{') {
		s = object_schema(at);
	} else if (first == '[') {
		s = json_pack("{s:s, s:o}", "type", "array", "items", schema(at));
		*at += **at == ']';
	} else {
		s = plain_schema(first);
	}
	if (**at == '?') {
		++*at;
		json_object_set_new(s, "type",
				    json_pack("[O, s]", json_object_get(s, "type"), "null"));
	}
	return s;
}

static json_t *parameter(const struct api_param *p)
{
	json_t *type = json_pack("{s:s}", "type", p->type), *choices;
	json_t *o = json_pack("{s:s, s:s, s:b, s:s}", "name", p->name, "in", "query", "required",
			      !p->default_text, "description", p->text);

	if (p->default_text && !strcmp(p->type, "integer"))
		json_object_set_new(type, "default", json_integer(atoll(p->default_text)));
	else if (p->default_text)
		json_object_set_new(type, "default", json_string(p->default_text));
	if (p->choices) {
		choices = json_array();
		for (const char *const *c = p->choices; *c; c++)
			json_array_append_new(choices, json_string(*c));
		json_object_set_new(type, "enum", choices);
	}
	json_object_set_new(o, "schema", type);
	return o;
}

/* Rows alone, for those routes that have them in other forms. */
static void add_formats(json_t *content, const struct api_route *r)
{
	for (const struct api_param *const *p = r->params; p && *p; p++) {
		if (strcmp((*p)->name, "format"))
			continue;
		json_object_set_new(content, TYPE_CSV,
				    json_pack("{s:{s:s}}", "schema", "type", "string"));
		json_object_set_new(content, TYPE_NDJSON,
				    json_pack("{s:{s:s}}", "schema", "type", "string"));
	}
}

static json_t *operation(const struct api_route *r)
{
	json_t *parameters = json_array(), *body = json_object(), *content = json_object(), *id;
	const char *shape = r->shape;

	for (const struct api_param *const *p = r->params; p && *p; p++)
		json_array_append_new(parameters, parameter(*p));
	json_object_set_new(body, "schema",
			    shape ? schema(&shape) : json_pack("{s:s}", "type", "string"));
	json_object_set_new(content, r->type, body);
	add_formats(content, r);
	id = json_string(strrchr(r->path, '/') + 1);
	return json_pack("{s:{s:o, s:s, s:o, s:{s:{s:s, s:o}, s:{s:s}}}}", "get", "operationId", id,
			 "summary", r->summary, "parameters", parameters, "responses", "200",
			 "description", "ok", "content", content, "default", "$ref",
			 "#/components/responses/problem");
}

static json_t *problem(void)
{
	const char *shape = "{type:s title:s status:i detail:s parameter?:s at?:i}";

	return json_pack("{s:s, s:{s:{s:o}}}", "description", "A problem document, RFC 9457",
			 "content", TYPE_PROBLEM, "schema", schema(&shape));
}

void answer_openapi(const struct question *q, struct answer *out)
{
	json_t *paths = json_object();

	for (const struct api_route *r = api_routes; r->path; r++)
		json_object_set_new(paths, r->path, operation(r));
	answer_json(
		out,
		json_pack(
			"{s:s, s:{s:s, s:s, s:s}, s:o, s:{s:{s:o}}}", "openapi", "3.1.0", "info",
			"title", "Scitag Observer", "version", q->api->version, "description",
			"Whose traffic it is, how much of it is tagged, and what does not add up.",
			"paths", paths, "components", "responses", "problem", problem()));
}
