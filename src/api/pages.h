/*
 * Lists: which page of one is asked for, what narrows it, and the answer's frame. Most lists are ordered by the id of
 * what is in them, newest first; their cursor is the id of the last item on the page before.
 */
#ifndef BP_API_PAGES_H
#define BP_API_PAGES_H

#include "api/call.h"

/*
 * ?page_size and ?cursor of a list that is ordered by ids. The limit is one more than the page may hold, which tells
 * whether there is a next one. ERR_INVALID_FIELD. Player and season are left alone.
 */
enum err page_decode(struct call *call, struct page_query *query);
/* How many of so many rows that came stand on the page. */
size_t page_shown(const struct page_query *query, size_t count);

/* What narrows a list. A filter that is not in the query leaves its output alone. ERR_INVALID_FIELD. */

/* A time. */
enum err filter_time(struct call *call, struct str name, int64_t *unix_ms);
/* An id; the text has a NUL behind it. */
enum err filter_id(struct call *call, struct str name, struct str *id);
/* A fault at this member of the query. */
enum err filter_fault(struct call *call, struct str name, const char *detail);

/* A list that is being written. */
struct list {
	struct call *call;
	struct buf body;
	bool begun;
};

void list_begin(struct list *list, struct call *call);
/* Begins the next item: the caller writes its members; list_item_end() closes it. */
struct buf *list_item(struct list *list);
void list_item_end(struct list *list);
/* Answers. next: the cursor of the next page; empty: this is the last. */
void list_end(struct list *list, struct str next);
/* The same for a list that is ordered by ids: last is that of the last item shown; NULL: there is no next page. */
void list_end_at(struct list *list, const struct uuid *last);

#endif
