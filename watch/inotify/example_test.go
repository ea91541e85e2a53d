package inotify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/watch/inotify"
)

// What touch(1) and ls(1) do to a folder. The events are read after each step: two equal ones in a row that nobody
// has read become one.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	conn, err := inotify.Init()
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Add(dir, inotify.AllEvents); err != nil {
		log.Fatal(err)
	}
	show := func() {
		events, err := conn.TryRead(nil)
		if err != nil {
			log.Fatal(err)
		}
		for _, ev := range events {
			fmt.Printf("mask %-10d %v\n", ev.Mask, ev)
		}
	}

	fmt.Println("touch test.txt")
	name := filepath.Join(dir, "test.txt")
	file, err := os.Create(name)
	if err != nil {
		log.Fatal(err)
	}
	show()
	if err := os.Chtimes(name, time.Now(), time.Now()); err != nil {
		log.Fatal(err)
	}
	show()
	file.Close()
	show()

	fmt.Println("ls")
	list, err := os.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	show()
	for err == nil {
		_, err = list.ReadDir(1) // the first brings the entry, the second says that there is no more
		show()
	}
	if err != io.EOF {
		log.Fatal(err)
	}
	list.Close()
	show()

	// Output:
	// touch test.txt
	// mask 256        wd=1 mask=IN_CREATE cookie=0 len=16 name="test.txt"
	// mask 32         wd=1 mask=IN_OPEN cookie=0 len=16 name="test.txt"
	// mask 4          wd=1 mask=IN_ATTRIB cookie=0 len=16 name="test.txt"
	// mask 8          wd=1 mask=IN_CLOSE_WRITE cookie=0 len=16 name="test.txt"
	// ls
	// mask 1073741856 wd=1 mask=IN_OPEN|IN_ISDIR cookie=0 len=0 name=""
	// mask 1073741825 wd=1 mask=IN_ACCESS|IN_ISDIR cookie=0 len=0 name=""
	// mask 1073741825 wd=1 mask=IN_ACCESS|IN_ISDIR cookie=0 len=0 name=""
	// mask 1073741840 wd=1 mask=IN_CLOSE_NOWRITE|IN_ISDIR cookie=0 len=0 name=""
}

// A loop that waits for events until its context ends.
func ExampleConn_ReadContext() {
	conn, err := inotify.Init()
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()

	var events []inotify.Event
	for {
		events, err = conn.ReadContext(ctx, events[:0])
		for _, ev := range events {
			fmt.Println(ev)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			fmt.Println("done")
			return
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	// Output: done
}

// A barrier tells when everything that has happened has been read. It works with ReadRaw too, which copies no name.
func ExampleConn_Barrier() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	conn, err := inotify.Init()
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Add(dir, inotify.Create|inotify.OnlyDir); err != nil {
		log.Fatal(err)
	}

	for _, name := range []string{"a", "b", "c"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			log.Fatal(err)
		}
	}
	end, err := conn.Barrier()
	if err != nil {
		log.Fatal(err)
	}

	var buffer inotify.Buffer
	for {
		if err := conn.ReadRaw(&buffer); err != nil {
			log.Fatal(err)
		}
		for ev := range buffer.Events() {
			if ev.WD == end {
				fmt.Println("that was all")
				return
			}
			fmt.Printf("%s %v\n", ev.Name, ev.Mask)
		}
	}
	// Output:
	// a IN_CREATE|IN_ISDIR
	// b IN_CREATE|IN_ISDIR
	// c IN_CREATE|IN_ISDIR
	// that was all
}

// An error keeps the errno and says what can be done.
func ExampleError() {
	conn, err := inotify.Init()
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	_, err = conn.Add("/nonexistent", inotify.Create)
	fmt.Println(err, "-", errors.Is(err, os.ErrNotExist))

	_, err = conn.Add("/", inotify.IsDir)
	fmt.Println(err)

	_, err = conn.Add("/", inotify.Create)
	if err == nil {
		_, err = conn.Add("/", inotify.Create|inotify.MaskCreate)
	}
	fmt.Println(err)
	var e *inotify.Error
	if errors.As(err, &e) {
		fmt.Println("hint:", e.Hint())
	}
	// Output:
	// inotify add /nonexistent: no such file or directory (ENOENT) - true
	// inotify add /: mask IN_ISDIR asks for no event (EINVAL)
	// inotify add /: file exists (EEXIST)
	// hint: the inode is watched already, perhaps by another path: leave IN_MASK_CREATE out to add to its events
}

func ExampleParseMask() {
	mask, err := inotify.ParseMask("create,delete,is_dir")
	fmt.Println(mask, err)
	fmt.Println(mask.Names())
	fmt.Println(inotify.Mask(0x40080100))
	_, err = inotify.ParseMask("crate")
	fmt.Println(err)
	// Output:
	// IN_CREATE|IN_DELETE|IN_ISDIR <nil>
	// [create delete is_dir]
	// IN_CREATE|IN_ISDIR|0x80000
	// inotify mask "crate": no event or flag is called "crate"
}

// Tests of a program let a call fail.
func ExampleInitWith() {
	conn, err := inotify.InitWith(inotify.Syscalls{
		Add: func(int, string, uint32) (int, error) { return -1, unix.ENOMEM },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	_, err = conn.Add("/", inotify.Create)
	fmt.Println(err)
	// Output: inotify add /: cannot allocate memory (ENOMEM)
}
