package etcd

import (
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"jurymast/internal/store"
)

// toKV never returns a nil value: a key that exists has a value, be it of zero length.
func toKV(kv *mvccpb.KeyValue) store.KV {
	v := kv.Value
	if v == nil {
		v = []byte{}
	}
	return store.KV{Key: string(kv.Key), Value: v, Rev: kv.ModRevision, Lease: store.LeaseID(kv.Lease)}
}

func toEvent(e *clientv3.Event) store.Event {
	if e.Type == clientv3.EventTypeDelete {
		return store.Event{KV: store.KV{Key: string(e.Kv.Key), Rev: e.Kv.ModRevision}, Deleted: true}
	}
	return store.Event{KV: toKV(e.Kv)}
}

func toCmps(conds []store.Cond) []clientv3.Cmp {
	cmps := make([]clientv3.Cmp, len(conds))
	for i, c := range conds {
		cmps[i] = clientv3.Compare(clientv3.ModRevision(c.Key), "=", c.Rev)
	}
	return cmps
}

func toOps(ops []store.Op) []clientv3.Op {
	out := make([]clientv3.Op, len(ops))
	for i, o := range ops {
		switch {
		case o.Value != nil && o.Lease != 0:
			out[i] = clientv3.OpPut(o.Key, string(o.Value), clientv3.WithLease(clientv3.LeaseID(o.Lease)))
		case o.Value != nil:
			out[i] = clientv3.OpPut(o.Key, string(o.Value))
		case o.Prefix:
			out[i] = clientv3.OpDelete(o.Key, clientv3.WithPrefix())
		default:
			out[i] = clientv3.OpDelete(o.Key)
		}
	}
	return out
}
