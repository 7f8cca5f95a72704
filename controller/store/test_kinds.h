/*
 * test_kinds - five kinds that stand in for the model where the store is tested.
 *
 * tenant, cloud, server_group, service (of a tenant and a cloud), options (without a name). A
 * member NAME_ref is a reference to kind NAME, or of service a list NAME_refs of them. Linked
 * instead of model/.
 */
#ifndef SPANWIRE_CONTROLLER_STORE_TEST_KINDS_H
#define SPANWIRE_CONTROLLER_STORE_TEST_KINDS_H

#include "model/model.h"

extern const struct kind_desc test_tenant, test_cloud, test_group, test_service, test_options;

#endif
