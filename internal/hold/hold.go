// Package hold carries in a context what the caller of a function holds for the time of
// the call, such as units of a capacity.Limiter. A function that returns before all of
// its work has ended, as those of traigo.Blocking may, asks here that it be held on.
package hold

import "context"

// A Holder can be asked to hold something beyond its time.
type Holder interface {
	// Keep makes the holder hold on until release is called.
	Keep() (release func())
}

type key struct{}

type link struct {
	holder Holder
	outer  *link // of the context further out
}

// With returns a context in which h holds something, beside the holders of ctx.
func With(ctx context.Context, h Holder) context.Context {
	outer, _ := ctx.Value(key{}).(*link)
	return context.WithValue(ctx, key{}, &link{h, outer})
}

// Keep asks all holders of ctx to hold on until release is called.
func Keep(ctx context.Context) (release func()) {
	first, _ := ctx.Value(key{}).(*link)
	if first == nil {
		return func() {}
	}
	var releases []func()
	for l := first; l != nil; l = l.outer {
		releases = append(releases, l.holder.Keep())
	}
	return func() {
		for _, release := range releases {
			release()
		}
	}
}

// Without returns a context that nobody holds anything in: for a ctx whose values are taken,
// and not its code.
func Without(ctx context.Context) context.Context {
	if first, _ := ctx.Value(key{}).(*link); first == nil {
		return ctx
	}
	return context.WithValue(ctx, key{}, (*link)(nil))
}
