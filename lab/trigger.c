/* SPDX-License-Identifier: Apache-2.0
 *
 * Asks the kernel for foreign pages, as a backend or a toolstack does, and says what it answered. Freestanding: no libc.
 *
 *   trigger g PAGES   IOCTL_GNTDEV_MAP_GRANT_REF on /dev/xen/gntdev
 *   trigger p PAGES   IOCTL_PRIVCMD_MMAPBATCH_V2 on /dev/xen/privcmd
 *
 * The grants and the domain do not exist. The pages to map them onto are allocated before that is found out.
 */
typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned short u16;

enum { OPENAT = 56, CLOSE = 57, WRITE = 64, EXIT = 93, MMAP = 222, IOCTL = 29 };
enum { AT_FDCWD = -100, O_RDWR = 2, PROT_RW = 3, MAP_SHARED = 1, MAP_ANON = 0x22 };
#define GNTDEV_MAP_GRANT_REF 0x184700UL /* _IOC(_IOC_NONE, 'G', 0, 24) */
#define PRIVCMD_MMAPBATCH_V2 0x205004UL /* _IOC(_IOC_NONE, 'P', 4, 32) */

static long call(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}

static void say(const char *text)
{
	long length = 0;

	while (text[length])
		length++;
	call(WRITE, 1, (long)text, length, 0, 0, 0);
}

static void number(long value)
{
	char digits[24];
	int at = 23;

	digits[at] = 0;
	do
		digits[--at] = '0' + value % 10;
	while (value /= 10);
	say(digits + at);
}

static long anonymous(u64 bytes)
{
	return call(MMAP, 0, bytes, PROT_RW, MAP_ANON, -1, 0);
}

static long by_grant(u64 pages)
{
	struct { u32 count, pad; u64 index; } *op = (void *)anonymous(16 + 8 * pages);
	long file = call(OPENAT, AT_FDCWD, (long)"/dev/xen/gntdev", O_RDWR, 0, 0, 0);

	if (file < 0)
		return file;
	op->count = pages;
	return call(IOCTL, file, GNTDEV_MAP_GRANT_REF, (long)op, 0, 0, 0);
}

static long by_foreign(u64 pages)
{
	struct { u32 num; u16 dom, pad; u64 addr, arr, err; } op = { pages, 9, 0, 0, 0, 0 };
	long file = call(OPENAT, AT_FDCWD, (long)"/dev/xen/privcmd", O_RDWR, 0, 0, 0);

	if (file < 0)
		return file;
	op.addr = call(MMAP, 0, pages << PAGE_SHIFT, PROT_RW, MAP_SHARED, file, 0);
	op.arr = anonymous(8 * pages);
	op.err = anonymous(4 * pages);
	return call(IOCTL, file, PRIVCMD_MMAPBATCH_V2, (long)&op, 0, 0, 0);
}

__attribute__((used)) static void run(long *stack)
{
	char **arguments = (char **)(stack + 1);
	const char *digits = arguments[2];
	u64 pages = 0;
	long result;

	if (stack[0] != 3)
		call(EXIT, 2, 0, 0, 0, 0, 0);
	while (*digits)
		pages = pages * 10 + (*digits++ - '0');
	result = arguments[1][0] == 'g' ? by_grant(pages) : by_foreign(pages);
	say("lab: ");
	say(arguments[1]);
	say(":");
	number(pages);
	say(" errno ");
	number(result < 0 ? -result : 0);
	say("\n");
	call(EXIT, 0, 0, 0, 0, 0, 0);
}

__asm__(".globl _start\n_start: mov x0, sp\n bl run\n");
