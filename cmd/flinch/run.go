package main

import (
	"context"
	"sync"

	"github.com/flinch-run/flinch/config"
	"github.com/flinch-run/flinch/runner"
	"github.com/flinch-run/flinch/watch"
)

// runConfig is flinch's main job: it sets the stages up, and tells how they
// ended.
func (o *options) runConfig(ctx context.Context, cfg *config.Config) error {
	s, err := o.open(ctx, cfg)
	if err != nil {
		return err
	}
	defer s.close()
	result := s.path(ctx)
	return s.verdict(result)
}

// path is the path of an event, from the kernel to a process: each stage is a
// goroutine that owns its state, reads one channel and closes the one it
// writes to. Only the source is stopped; the others end one after the other
// when their input does.
func (s *session) path(ctx context.Context) runner.Result {
	batches := make(chan sighting)     // what the watchers saw
	changes := make(chan input)        // with the rules that want it
	waves := make(chan wave)           // settled: complete, one change a path
	triggers := make(chan runner.Wave) // what each rule has to act on
	ctx, stop := context.WithCancel(ctx)

	defer s.history.begin()()
	signals, keys := s.listen(ctx)
	var stages sync.WaitGroup
	stages.Go(func() { s.see(ctx, batches) })
	stages.Go(func() { s.match(ctx, batches, changes) })
	stages.Go(func() { s.settleDown(ctx, changes, waves) })
	stages.Go(func() { s.settle(waves, triggers) })
	stages.Go(func() { s.steer(ctx, signals, keys) })
	stages.Go(func() { s.control(ctx) })

	result := s.runner.Run(context.WithoutCancel(ctx), triggers)
	stop()
	for range triggers { // what was on its way when the runner ended
	}
	stages.Wait()
	return result
}

// sighting is a batch with the watcher that saw it.
type sighting struct {
	*source
	watch.Batch
}

// see passes on what the watchers report, each from a goroutine of its own,
// until the context ends. With --once nothing is watched.
func (s *session) see(ctx context.Context, batches chan<- sighting) {
	defer close(batches)
	var watchers sync.WaitGroup
	for {
		select {
		case src := <-s.sources:
			watchers.Go(func() { s.follow(ctx, src, batches) })
		case t := <-s.told:
			t.pass(ctx, batches)
		case <-ctx.Done():
			watchers.Wait()
			return
		}
	}
}

// follow passes on what one watcher reports until it is closed.
func (s *session) follow(ctx context.Context, src *source, batches chan<- sighting) {
	defer src.watcher.Close()
	for {
		batch, err := src.watcher.Next(ctx)
		if err != nil {
			s.lost(ctx, src, err)
			return
		}
		select {
		case batches <- sighting{src, batch}:
		case <-ctx.Done():
			return
		}
	}
}

// match finds the rules that want each change. It owns the plan: what changes
// the config or an ignore file is taken up here.
func (s *session) match(ctx context.Context, batches <-chan sighting, changes chan<- input) {
	defer close(changes)
	for seen := range batches {
		in := s.sighted(ctx, seen)
		if len(in.Items) == 0 && len(in.Marks) == 0 && in.Lanes == nil {
			continue
		}
		select {
		case changes <- in:
		case <-ctx.Done():
			return
		}
	}
}

// settle turns waves that have settled into triggers for the runner.
func (s *session) settle(waves <-chan wave, triggers chan<- runner.Wave) {
	defer close(triggers)
	for w := range waves {
		p := s.plan()
		next := p.triggers(w, s.last)
		s.history.settled(next, p)
		triggers <- next
	}
}
