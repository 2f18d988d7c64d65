//! Entries of the ground's tables, found by what they stand for; and what is written into them.

use geminus_core::model::Ports;
use geminus_core::plan::{server_identity, service_identity};
use geminus_packet::tables::{Server, Service, Tables};

use crate::ground;

/// Number of the entry of the shop's service on this port.
pub fn service(tables: &dyn Tables, port: u16) -> u32 {
    let site = ground::site();
    let shop = &site.clusters[0];
    let service = shop.services.iter().find(|service| service.ports == Ports::Exact(port));
    let identity = service_identity(shop, service.expect("the shop has such a service"));
    let is_it = |&number: &u32| tables.service(number).is_some_and(|entry| entry.identity.load() == identity);
    (0..).take_while(|&number| tables.service(number).is_some()).find(is_it).expect("it is installed")
}

/// Number of the entry of this server of the shop's service on this port.
pub fn server(tables: &dyn Tables, port: u16, name: &str) -> u32 {
    let site = ground::site();
    let shop = &site.clusters[0];
    let service = shop.services.iter().find(|service| service.ports == Ports::Exact(port));
    let service = service.expect("the shop has such a service");
    let server = service.servers.iter().find(|server| server.name == name).expect("it has such a server");
    let identity = server_identity(shop, service, server);
    let is_it = |&number: &u32| tables.server(number).is_some_and(|entry| entry.identity.load() == identity);
    (1..).take_while(|&number| tables.server(number).is_some()).find(is_it).expect("it is installed")
}

/// The entry of a service.
pub fn service_entry(tables: &dyn Tables, port: u16) -> &Service {
    tables.service(service(tables, port)).expect("it was just found")
}

/// The entry of a server.
pub fn server_entry<'t>(tables: &'t dyn Tables, port: u16, name: &str) -> &'t Server {
    tables.server(server(tables, port, name)).expect("it was just found")
}

/// Whom new flows of one service go to from now on: the servers of another.
pub fn use_pool(tables: &dyn Tables, of: u16, pool: u16) {
    service_entry(tables, of).pool.store(u64::from(service(tables, pool)) + 1);
}

/// A service selects so from now on; it knows its own number.
pub fn select(tables: &dyn Tables, port: u16, flag: u64) {
    let number = u64::from(service(tables, port));
    let entry = service_entry(tables, port);
    entry.select.store(entry.select.load() & u64::from(u32::MAX) | flag | number << 32);
}

/// A server has so many active flows for its weight.
pub fn load(tables: &dyn Tables, port: u16, name: &str, active: u64, weight: u64) {
    let entry = server_entry(tables, port, name);
    entry.active.store(active);
    entry.weight.store(weight);
}

/// Services on these ports share their clients, as the first of them knows them, and these are one host's servers of them:
/// each with the one after it.
pub fn relate(tables: &dyn Tables, servers: &[(u16, &str)]) {
    let clients = service_entry(tables, servers[0].0).identity.load();
    let affinity = service_entry(tables, servers[0].0).affinity.load();
    for (&(port, name), &(next_port, next)) in servers.iter().zip(servers.iter().cycle().skip(1)) {
        select(tables, port, 0);
        let entry = service_entry(tables, port);
        entry.clients.store(clients);
        entry.affinity.store(affinity);
        let next = u64::from(server(tables, next_port, next));
        server_entry(tables, port, name).kin.store(u64::from(service(tables, port)) | next << 32);
    }
}

/// Every server with an odd number is in this state from now on, and the others in none.
pub fn mark(tables: &dyn Tables, flags: u64, renewed: bool) {
    const MARKS: u64 = Server::DOWN | Server::RESETS | Server::LOOSE;
    let servers = (1..).map_while(|number| Some((number, tables.server(number)?)));
    for (number, server) in servers.filter(|(_, server)| server.identity.load() != 0) {
        let is_odd = number & 1 == 1;
        server.from.store(server.from.load() & !MARKS | if is_odd { flags } else { 0 });
        if is_odd && renewed {
            server.link.store(server.link.load().wrapping_add(1 << 48));
        }
    }
}

/// Every service of the tables selects so too from now on, or all of them not.
pub fn select_all(tables: &dyn Tables, flag: u64, is_set: bool) {
    let services = (0..).map_while(|number| tables.service(number));
    for service in services.filter(|service| service.identity.load() != 0) {
        let rest = service.select.load() & !flag;
        service.select.store(if is_set { rest | flag } else { rest });
    }
}

/// Every service has the servers of its neighbour in the table, or of no other.
pub fn swap_pools(tables: &dyn Tables, is_swapped: bool) {
    let services = (0_u64..).map_while(|number| Some((number, tables.service(number as u32)?)));
    for (number, service) in services.filter(|(_, service)| service.identity.load() != 0) {
        service.pool.store(if is_swapped { (number ^ 1) + 1 } else { 0 });
    }
}
