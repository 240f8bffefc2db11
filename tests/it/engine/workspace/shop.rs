//! `examples/shop`: what its README says, with stand-ins for the public images.
//!
//! They come from the local registry, put there by `scripts/fixtures shop`.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::support::{Place, Said, output, until};

const REGISTRY: &str = "127.0.0.1:5000/";

const PULLED: [&str; 3] = ["postgres:16-alpine", "redis:7-alpine", "nginx:1.27-alpine"];

/// The one that tests share, as long as some test uses it.
static SHARED: Mutex<Weak<Shop>> = Mutex::new(Weak::new());

/// The shop, up, and what `up` said.
struct Shop {
    place: Place,
    said: Said,
}

/// A test's hold on the shop that is shared.
struct Hold(Option<Arc<Shop>>);

impl Deref for Hold {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        self.0.as_deref().expect("held until it is dropped")
    }
}

impl Drop for Hold {
    /// The last one cleans up before anybody makes the next: what is half cleaned
    /// up still uses the images that the next one wants to see pulled.
    fn drop(&mut self) {
        let _turn = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        self.0 = None;
    }
}

impl Shop {
    fn up() -> Self {
        let place = Place::example("shop")
            .with("REGISTRY", REGISTRY)
            .with("SECONDS_PER_ORDER", "0");
        std::fs::copy(place.folder.join(".env.example"), place.folder.join(".env")).unwrap();
        let said = place.cosmos(&["up"]).succeeded();
        Self { place, said }
    }

    /// One of which no image was there, for all tests that run at one time.
    fn shared() -> Hold {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shop) = shared.upgrade() {
            return Hold(Some(shop));
        }
        for image in PULLED {
            let image = format!("{REGISTRY}{image}");
            let _ = output("docker", &["image", "rm", &image]);
            let left = output("docker", &["image", "ls", "-q", &image]);
            assert_eq!(left.stdout, "", "{image} is used by somebody else");
        }
        let shop = Arc::new(Self::up());
        *shared = Arc::downgrade(&shop);
        Hold(Some(shop))
    }

    /// The answer of the database to a query.
    fn query(&self, query: &str) -> String {
        let said = self.place.cosmos(&["run", "psql", "-tAc", query]);
        said.succeeded().stdout.trim().to_owned()
    }

    /// Orders an item on the page, and waits until it shows that it is packed.
    fn order(&self, item: &str) {
        let order = format!(r#"{{"item": "{item}", "quantity": 2}}"#);
        let answer = self.place.post("web", "/api/orders", &order).unwrap();
        assert_eq!(answer.status, 202, "{answer:?}");
        until("packed", || self.lists(item).then_some(()));
    }

    /// Whether the page shows that an item is packed.
    fn lists(&self, item: &str) -> bool {
        let answer = self.place.get("web", "/api/orders").unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        let orders: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let packed = orders["packed"].as_array().unwrap();
        packed.iter().any(|order| order["item"] == item)
    }
}

#[test]
fn its_images_are_pulled() {
    let shop = Shop::shared();
    for image in PULLED {
        let step = format!("+ pull {REGISTRY}{image} (");
        assert!(shop.said.stderr.contains(&step), "{}", shop.said);
    }
}

#[test]
fn its_migrations_are_applied_once_each() {
    let shop = Shop::shared();
    assert_eq!(
        shop.query("select string_agg(name, ' ' order by name) from migrations"),
        "001-orders 002-packed"
    );
}

#[test]
fn its_page_is_served_by_nginx() {
    let shop = Shop::shared();
    let page = shop.place.get("web", "/").unwrap();
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<title>Shop</title>"), "{page:?}");
}

#[test]
fn an_order_on_the_page_goes_through_the_queue_and_the_worker_into_the_database() {
    let shop = Shop::shared();
    shop.order("green tea");
    assert_eq!(
        shop.query("select quantity, packed_by from orders where item = 'green tea'"),
        format!("2|{}", &shop.place.id("worker")[..12])
    );
}

#[test]
fn an_order_of_nothing_is_refused_in_words() {
    let shop = Shop::shared();
    let answer = shop.place.post("web", "/api/orders", "{}").unwrap();
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("an order has an item"), "{answer:?}");
}

#[test]
fn its_second_up_has_nothing_to_do() {
    let shop = Shop::shared();
    let _ = shop.place.cosmos(&["up"]).was_up_to_date();
}

#[test]
fn its_orders_outlive_down() {
    // Held, so that nobody removes the images of this one.
    let _shared = Shop::shared();
    let shop = Shop::up();
    shop.order("kept");
    let _ = shop.place.cosmos(&["down"]).succeeded();
    assert_eq!(shop.place.containers(&["workspace"]), Vec::<String>::new());
    let _ = shop.place.cosmos(&["up"]).succeeded();
    assert!(shop.lists("kept"));
}
