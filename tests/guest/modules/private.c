// SPDX-License-Identifier: GPL-2.0-or-later
/* A struct that no header and no BTF describes, for tests of `kpy layout push`. */
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/module.h>

enum kpy_shade { KPY_LIGHT, KPY_DARK = 7 };

struct kpy_private {
	int number;
	unsigned int flag : 1, width : 7;
	struct kpy_private *next;
	struct {
		u16 low, high;
	} inner;
	enum kpy_shade shade;
	char name[16];
	struct list_head list;
	int many[5];
};

struct kpy_private kpy_private_object = {
	.number = -7,
	.flag = 1,
	.width = 5,
	.next = &kpy_private_object,
	.inner = { 0x12, 0x34 },
	.shade = KPY_DARK,
	.name = "hello",
	.list = LIST_HEAD_INIT(kpy_private_object.list),
	.many = { 0, 11, 22, 33, 44 },
};

static int __init private_init(void)
{
	return READ_ONCE(kpy_private_object.number) < 0 ? 0 : -EINVAL;
}

static void __exit private_exit(void)
{
}

module_init(private_init);
module_exit(private_exit);
MODULE_LICENSE("GPL");
