/*
 * loop/chan_list.h - the channels that were written to in this turn, flushed together at its end.
 */
#ifndef LOOP_CHAN_LIST_H
#define LOOP_CHAN_LIST_H

#include <sys/queue.h>

struct chan;
struct loop;

TAILQ_HEAD(chan_list, chan);

void chan_list_flush(struct chan_list *list);
struct chan_list *loop_dirty(struct loop *l);

#endif
