/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For GCC 10 of Debian 11 (its bug 980609): GCC's i386.h includes this header, but the package
 * with the plugin headers lacks it. The one name that i386.h needs of it is in a class that we
 * never use. It comes last in the search path, so GCC's own header is taken where there is one.
 */
#ifndef KPY_I386_CPUINFO_H
#define KPY_I386_CPUINFO_H

enum feature_priority { KPY_NO_PRIORITY };

#endif /* KPY_I386_CPUINFO_H */
